/** Moments and spans that keep what the wire keeps: nanoseconds. */

const NANOS_PER_MS = 1_000_000;
const RFC_3339 = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)$/;
const SECONDS = /^(-?)(\d{1,12})(?:\.(\d{1,9}))?s$/;

/** A `Date` that also has what a millisecond cannot hold; compares, formats and calculates as any other. */
export class Timestamp extends Date {
  /** Nanoseconds beyond the milliseconds of the date, 0 to 999999. */
  readonly nanosOfMillisecond: number;

  constructor(epochMs: number, nanosOfMillisecond = 0) {
    super(epochMs);
    this.nanosOfMillisecond = nanosOfMillisecond;
  }

  /** Read RFC 3339 with up to nine digits of a second; `RangeError` for other texts. */
  static fromText(text: string): Timestamp {
    const [, day, time, fraction = "", zone] = RFC_3339.exec(text) ?? [];
    const seconds = Date.parse(`${day}T${time}${zone?.toUpperCase()}`);
    if (Number.isNaN(seconds)) {
      throw new RangeError(`${JSON.stringify(text)} is no RFC 3339 timestamp, such as 2026-01-02T03:04:05.678Z`);
    }
    const nanos = Number(fraction.padEnd(9, "0"));
    return new Timestamp(seconds + Math.floor(nanos / NANOS_PER_MS), nanos % NANOS_PER_MS);
  }

  /** RFC 3339 in UTC, with as many digits as are needed: 0, 3, 6 or 9. */
  override toISOString(): string {
    const text = super.toISOString();
    if (this.nanosOfMillisecond !== 0) {
      return `${text.slice(0, -1)}${trimmed(String(this.nanosOfMillisecond).padStart(6, "0"))}Z`;
    }
    return text.replace(/\.000Z$/, "Z");
  }

  override toJSON(): string {
    return this.toISOString();
  }
}

/** A span of time; `seconds` and `nanos` have one sign. */
export class Duration {
  readonly seconds: number;
  readonly nanos: number;

  constructor(seconds: number, nanos = 0) {
    // Zero has one sign, too.
    this.seconds = seconds + 0;
    this.nanos = nanos + 0;
  }

  /** The nearest microsecond to a number of milliseconds: binary fractions are no better than that. */
  static fromMs(milliseconds: number): Duration {
    const seconds = Math.trunc(milliseconds / 1000);
    const micros = Math.round((milliseconds - seconds * 1000) * 1000);
    const carried = Math.trunc(micros / 1_000_000);
    return new Duration(seconds + carried, (micros - carried * 1_000_000) * 1000);
  }

  /** Read seconds as JSON writes them, such as `1.5s`; `RangeError` for other texts. */
  static fromText(text: string): Duration {
    const [, sign, seconds, fraction = ""] = SECONDS.exec(text) ?? [];
    if (seconds === undefined) {
      throw new RangeError(`${JSON.stringify(text)} is no duration, such as 1.5s`);
    }
    const factor = sign === "-" ? -1 : 1;
    return new Duration(factor * Number(seconds), factor * Number(fraction.padEnd(9, "0")));
  }

  get milliseconds(): number {
    return this.seconds * 1000 + this.nanos / NANOS_PER_MS;
  }

  toString(): string {
    const sign = this.seconds < 0 || this.nanos < 0 ? "-" : "";
    const nanos = String(Math.abs(this.nanos)).padStart(9, "0");
    const fraction = this.nanos === 0 ? "" : `.${trimmed(trimmed(nanos))}`;
    return `${sign}${Math.abs(this.seconds)}${fraction}s`;
  }

  toJSON(): string {
    return this.toString();
  }
}

function trimmed(digits: string): string {
  return digits.endsWith("000") ? digits.slice(0, -3) : digits;
}
