import { expect, it } from "vitest";
import { SoloQueue } from "./solo-queue.ts";

it("lets one go at a time, in the order in which they came", () => {
  const queue = new SoloQueue<string>();
  expect(queue.add("a", "A")).toBe("A");
  expect(queue.add("b", "B")).toBeNull();
  expect(queue.add("c", "C")).toBeNull();
  expect(queue.waiting).toBe(2);
  expect([queue.keepsWaiting("a"), queue.keepsWaiting("b")]).toEqual([true, false]);
  expect(queue.ended("a")).toBe("B");
  expect(queue.ended("b")).toBe("C");
  expect(queue.keepsWaiting("c")).toBe(false);
  expect(queue.ended("c")).toBeNull();
  expect(queue.add("d", "D")).toBe("D");
});

it("lets nobody go because somebody else ended", () => {
  const queue = new SoloQueue<string>();
  queue.add("a", "A");
  queue.add("b", "B");
  expect(queue.ended("unknown")).toBeNull();
  expect(queue.ended("b")).toBeNull();
  expect(queue.ended("a")).toBeNull();
});

it("tells who waits, without the one that goes", () => {
  const queue = new SoloQueue<string>();
  for (const name of ["a", "b", "c"]) queue.add(name, name.toUpperCase());
  expect(queue.all()).toEqual(["B", "C"]);
  expect(queue.waiting).toBe(2);
});

it("forgets one that waits, and all", () => {
  const queue = new SoloQueue<string>();
  queue.add("a", "A");
  queue.add("b", "B");
  queue.add("c", "C");
  expect(queue.remove("b")).toBe("B");
  expect(queue.remove("b")).toBeNull();
  expect(queue.clear()).toEqual(["C"]);
  expect(queue.ended("a")).toBeNull();
});
