import { expect, test } from "vitest";
import { mayFetchFrom } from "./public-address.ts";

const addresses = {
  "8.8.8.8": true,
  "1.1.1.1": true,
  "2606:4700::1111": true,
  "127.0.0.1": false,
  "0.0.0.0": false,
  "10.1.2.3": false,
  "100.64.0.1": false,
  "169.254.169.254": false,
  "172.31.255.255": false,
  "192.168.1.1": false,
  "198.19.0.1": false,
  "224.0.0.1": false,
  "255.255.255.255": false,
  "::1": false,
  "::": false,
  "::ffff:127.0.0.1": false,
  "::ffff:8.8.8.8": false,
  "fe80::1": false,
  "fe80::1%eth0": false,
  "2606:4700::1111%eth0": false,
  "fd00::1": false,
  "64:ff9b::7f00:1": false,
  "2002:7f00:1::": false,
  "2001:db8::1": false,
  localhost: false,
};

test.each(Object.entries(addresses))("%s: %s", (address, allowed) => {
  expect(mayFetchFrom(address, false)).toBe(allowed);
});

test("loopback where it is allowed, and nothing else private with it", () => {
  expect(["127.0.0.1", "127.9.9.9", "::1"].every((address) => mayFetchFrom(address, true))).toBe(true);
  expect(["10.0.0.1", "169.254.169.254", "fd00::1"].some((address) => mayFetchFrom(address, true))).toBe(false);
});
