import assert from "node:assert/strict";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { Duration, Timestamp } from "promptflow-grpc-client";
import { fileMisfit, loadFile } from "#dist/files.js";
import { decodeJson, encodeJson } from "#dist/json-values.js";

const MOMENTS = [
  "2026-01-02T03:04:05Z",
  "2026-01-02T03:04:05.678Z",
  "2026-01-02T03:04:05.678901Z",
  "2026-01-02T03:04:05.000001Z",
  "2026-01-02T03:04:05.678901234Z",
  "1969-12-31T23:59:59.999999999Z",
  "0001-01-01T00:00:00Z",
  "9999-12-31T23:59:59.999999Z",
];

for (const text of MOMENTS) {
  test(`${text} keeps its digits`, () => assert.equal(Timestamp.fromText(text).toISOString(), text));
}

test("a timestamp is a date in any zone, and JSON writes it whole", () => {
  const moment = Timestamp.fromText("2026-01-01T01:00:00.5+01:00");
  assert.ok(moment instanceof Date);
  assert.equal(moment.getTime(), Date.UTC(2026, 0, 1, 0, 0, 0, 500));
  assert.equal(JSON.stringify({ moment }), '{"moment":"2026-01-01T00:00:00.500Z"}');
});

for (const text of ["", "yesterday", "2026-01-02", "2026-13-02T03:04:05Z", "2026-01-02T03:04:05"]) {
  test(`${JSON.stringify(text)} is no timestamp`, () => assert.throws(() => Timestamp.fromText(text), RangeError));
}

for (const text of ["0s", "1s", "1.500s", "-1.500s", "0.000001s", "-0.000000001s", "315576000000s"]) {
  test(`${text} keeps its digits`, () => assert.equal(Duration.fromText(text).toString(), text));
}

test("milliseconds make a duration of whole microseconds", () => {
  assert.deepEqual(Duration.fromMs(1500.25), new Duration(1, 500_250_000));
  assert.deepEqual(Duration.fromMs(-0.001), new Duration(0, -1000));
  assert.deepEqual(Duration.fromMs(999.9999), new Duration(1, 0));
  assert.equal(Duration.fromMs(0.1 + 0.2).milliseconds, 0.3);
});

const JSON_VALUES = [null, true, 0, -1.5, "", "text", [], [null, [1]], {}, { a: { b: [1, "x", null] } }];

for (const value of JSON_VALUES) {
  test(`${JSON.stringify(value)} comes back as it went`, () =>
    assert.deepEqual(decodeJson(encodeJson(value, "")), value));
}

test("keys of others' objects change no prototype", () => {
  const value: unknown = JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}');
  const back = decodeJson(encodeJson(value, "")) as object;
  assert.deepEqual(Object.keys(back), ["__proto__", "constructor"]);
  assert.equal(Object.getPrototypeOf(back), Object.prototype);
  assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
});

const loop: unknown[] = [];
loop.push(loop);
const MISFITS: Readonly<Record<string, unknown>> = {
  "not a number": Number.NaN,
  infinity: [Number.POSITIVE_INFINITY],
  "a bigint": { a: 1n },
  "a date": new Date(),
  "a function": () => 1,
  "a hole": [undefined],
  "a loop": loop,
};

for (const [name, value] of Object.entries(MISFITS)) {
  test(`${name} is no JSON`, () => assert.throws(() => encodeJson(value, "x")));
}

test("a file is read from whatever holds it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "promptflow-"));
  const path = join(folder, "page.JPG");
  const content = new Uint8Array([0, 255, 1]);
  await writeFile(path, content);
  const named = { content, name: "page.JPG", contentType: "image/jpeg" };
  const nameless = { content, name: "", contentType: "" };
  assert.deepEqual(plain(await loadFile(path)), named);
  assert.deepEqual(plain(await loadFile(pathToFileURL(path))), named);
  assert.deepEqual(plain(await loadFile(content)), nameless);
  assert.deepEqual(plain(await loadFile(content.buffer as ArrayBuffer)), nameless);
  assert.deepEqual(plain(await loadFile(new Blob([content], { type: "image/png" }))), { ...nameless, contentType: "image/png" });
  assert.deepEqual(plain(await loadFile(new Blob([content]).stream())), nameless);
  assert.deepEqual(plain(await loadFile(Readable.from([content.subarray(0, 1), content.subarray(1)]))), nameless);
  assert.deepEqual(await loadFile({ uri: "https://example.com/a.png", name: "a.png" }), {
    uri: "https://example.com/a.png",
    name: "a.png",
    contentType: "image/png",
  });
  await assert.rejects(loadFile(join(folder, "missing")), { code: "ENOENT" });
});

for (const value of [5, null, {}, { content: "text" }, { uri: "a", fileId: "b" }, { uri: 5 }, []]) {
  test(`${JSON.stringify(value)} is no file`, () => assert.equal(typeof fileMisfit(value), "string"));
}

function plain(file: { content?: Uint8Array; name: string; contentType: string }): object {
  return { ...file, content: new Uint8Array(file.content ?? []) };
}
