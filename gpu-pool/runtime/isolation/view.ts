/**
 * What a model's process sees of the host in namespaces of its own: the system's programs and libraries, its
 * interpreter, its model's folder, its home, its scratch folder and the GPUs. What is not named here is not there.
 */
import { existsSync, readdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { isWithin } from "../../transport/confined-file.ts";

/** Programs and libraries. */
const SYSTEM = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/run/opengl-driver"];

/** Of /etc, what programs read and nobody hides: secrets of services often lie beside it. */
const ETC = [
  "ImageMagick-6",
  "ImageMagick-7",
  "OpenCL",
  "alternatives",
  "ca-certificates",
  "crypto-policies",
  "debian_version",
  "fonts",
  "gai.conf",
  "glvnd",
  "group",
  "host.conf",
  "hosts",
  "ld.so.cache",
  "ld.so.conf",
  "ld.so.conf.d",
  "locale.alias",
  "localtime",
  "magic",
  "mime.types",
  "nsswitch.conf",
  "nvidia",
  "os-release",
  "passwd",
  "pki/ca-trust",
  "pki/tls/certs",
  "protocols",
  "resolv.conf",
  "services",
  "ssl/certs",
  "ssl/openssl.cnf",
  "timezone",
  "vulkan",
];

/** GPUs: NVIDIA, AMD, and what Mesa and WSL use. */
const DEVICE = /^(nvidia.*|dri|kfd|dxg)$/;

/** The folders and files that a process may read, beside its own and what `more` names. */
export function readableOf(more: readonly string[]): string[] {
  const named = more.filter((path) => path !== "/" && !SYSTEM.some((folder) => isWithin(folder, path)));
  return [...SYSTEM, ...childrenOf("/opt"), ...named].filter((path) => existsSync(path));
}

/** `[what lies on the host, where the process sees it]`: `resolv.conf` often links into a folder that isn't there. */
export function etcFiles(): [string, string][] {
  const paths = ETC.map((name) => join("/etc", name)).filter((path) => existsSync(path));
  return paths.map((path) => [realpathOf(path), path]);
}

/** The device files of GPUs, and folders of them. */
export function gpuDevices(): string[] {
  return childrenOf("/dev").filter((path) => DEVICE.test(path.slice("/dev/".length)));
}

/** A path that leads nowhere is itself. */
export function realpathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function childrenOf(folder: string): string[] {
  try {
    return readdirSync(folder).map((name) => join(folder, name));
  } catch {
    return [];
  }
}
