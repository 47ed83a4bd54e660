/** What topics, groups and instances may be called, by Kafka's own rules, and how a path carries a name. */
import { EdgeplaneError } from "./errors.ts";

/** Kafka's rule for topics: letters, digits, `.`, `_`, `-`, at most 249, not `.` or `..`. */
export const TOPIC_PATTERN = /^(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}$/;

/**
 * To Kafka a group is any text that isn't empty. Beyond its rule: no control characters, and a bound, in characters.
 */
const GROUP_PATTERN = /^\P{Cc}{1,255}$/u;

export function isTopicName(name: string): boolean {
  return TOPIC_PATTERN.test(name);
}

/** What is wrong with a topic's name, for who chose it. */
export function noTopicName(name: string): string {
  return `"${name.slice(0, 80)}" is no topic's name: use 1 to 249 letters, digits, ".", "_" and "-"`;
}

/** A group's or an instance's name. Throws `invalid_request`. */
export function checkName(what: "group" | "instance", name: string): string {
  if (GROUP_PATTERN.test(name)) return name;
  throw new EdgeplaneError(
    "invalid_request",
    `The ${what}'s name must be 1 to 255 characters, none of them a control character.`,
  );
}

/**
 * A path's segments, decoded. What isn't an escape stays as it is: `100%` is a text, as in any browser's address bar.
 */
export function pathSegments(path: string): string[] {
  return path
    .split("/")
    .filter((part) => part !== "")
    .map(decoded);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part.replaceAll(/(?:%[0-9a-f]{2})+/gi, (escapes) => {
      try {
        return decodeURIComponent(escapes);
      } catch {
        return escapes;
      }
    });
  }
}
