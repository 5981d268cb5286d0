/** Plain objects whose keys come from others. */

/** Set a property as one of the object's own, whatever its name: `__proto__` too. */
export function put(target: object, key: string, value: unknown): void {
  if (key === "__proto__") {
    Object.defineProperty(target, key, { value, configurable: true, enumerable: true, writable: true });
  } else {
    (target as Record<string, unknown>)[key] = value;
  }
}

/** Whether a value is an object of keys and values, and no list, date, buffer or the like. */
export function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) {
    return false;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  // One level up may be the `Object.prototype` of another realm: a frame, a worker, a test's sandbox.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** A value in a few words, for messages. */
export function shown(value: unknown): string {
  if (typeof value === "string") {
    return value.length > 40 ? `${JSON.stringify(value.slice(0, 40))}…` : JSON.stringify(value);
  }
  if (typeof value === "bigint" || typeof value === "number" || typeof value === "boolean" || value == null) {
    return String(value);
  }
  if (typeof value === "object") {
    const name: unknown = (value as { constructor?: { name?: unknown } }).constructor?.name;
    return typeof name === "string" && name !== "" ? name : "object";
  }
  return typeof value;
}
