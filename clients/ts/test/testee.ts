/**
 * The shared table of cases through this client: reads cases and answers outcomes, a JSON line each.
 *
 * Arguments: the folder of the compiled flows, the protocol, the address.
 */

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import type { DescField, DescMessage, DescService } from "@bufbuild/protobuf";
import { Duration, PromptFlowBase, PromptFlowError, Timestamp } from "promptflow-grpc-client";
import type { Event, Execution, FlowClient, Protocol } from "promptflow-grpc-client";

type Fields = Record<string, unknown>;
type AnyClient = FlowClient<Fields, Fields, Fields, Fields>;
type AnyExecution = Execution<Fields, Fields>;

interface Request {
  readonly id: number;
  readonly flow: string;
  readonly version: number;
  readonly call: "run" | "stream" | "start" | "batch" | "plan" | "status" | "cancel" | "watch" | "executions" | "flows";
  readonly execution_id: string;
  readonly inputs: Fields;
  readonly batch: readonly Fields[];
  readonly read_mask: readonly string[];
  readonly timeout_s: number;
}

interface Flow {
  readonly client: AnyClient;
  readonly service: DescService;
}

const [folder = "", protocol = "grpc", address = ""] = process.argv.slice(2);
const promptflow = new PromptFlowBase(address, { protocol: protocol as Protocol });

async function flowOf(name: string, version: number): Promise<Flow> {
  const at = `${folder}/promptflow_api/flows/${name}/v${version}`;
  const messages = (await import(pathToFileURL(`${at}/${name}_pb.js`).href)) as Record<string, unknown>;
  const client = (await import(pathToFileURL(`${at}/client.js`).href)) as Record<string, new (of: PromptFlowBase) => AnyClient>;
  const [made] = Object.entries(client).filter(([exported]) => exported.endsWith("Client"));
  const [service] = Object.entries(messages).filter(([exported]) => exported.endsWith("Service"));
  if (made === undefined || service === undefined) {
    throw new Error(`${at} has no client`);
  }
  return { client: new made[1](promptflow), service: service[1] as DescService };
}

async function outcomeOf(request: Request): Promise<object> {
  const flow = await flowOf(request.flow, request.version);
  try {
    return await calledOf(request, flow);
  } catch (error) {
    return failureOf(error);
  }
}

async function calledOf(request: Request, { client, service }: Flow): Promise<object> {
  const { input, output } = service.method["execute"] as DescService["methods"][number];
  const options = { timeoutMs: request.timeout_s * 1000, readMask: request.read_mask };
  const inputs = nativeObject(request.inputs, input);
  switch (request.call) {
    case "run":
      return { result: jsonOf(await client.run(inputs, options), resultOf(output)) };
    case "stream":
      return executed(await lastOf(client.stream(inputs, options)), output);
    case "start":
      return { result: jsonOf(await (await client.start(inputs, options)).result(options), resultOf(output)) };
    case "batch": {
      const found = await client.runBatch(request.batch.map((one) => nativeObject(one, input)), options);
      const outcomes = found.map((one) => (one.ok ? { result: jsonOf(one.result, resultOf(output)) } : failureOf(one.error)));
      return { outcomes };
    }
    case "plan": {
      const { bundleDigest, ...plan } = await client.plan(inputs, options);
      return { result: { ...plan, bundle_digest: bundleDigest } };
    }
    case "flows":
      return found(promptflow.flows({ pageSize: 1 }), (one) => one.flow === request.flow && one.version === request.version);
    default:
  }
  const handle = client.handle(request.execution_id || (await ended(client, inputs)));
  switch (request.call) {
    case "executions": {
      const isRun = (one: { executionId: string }): boolean => one.executionId === handle.executionId;
      return found(client.executions({ pageSize: 1 }), isRun);
    }
    case "watch":
      return executed(await lastOf(handle.events(options)), output);
    default:
      return executed(await handle[request.call](options), output);
  }
}

/** A run that was started and has ended, well or not. */
async function ended(client: AnyClient, inputs: Fields): Promise<string> {
  const handle = await client.start(inputs);
  await handle.result().catch((error: unknown) => failureOf(error));
  return handle.executionId;
}

async function lastOf(events: AsyncIterable<Event<AnyExecution, Fields>>): Promise<AnyExecution> {
  for await (const event of events) {
    if (event.type === "done") {
      return event.execution;
    }
  }
  throw new Error("the stream ended without `done`");
}

async function found<T extends object>(list: AsyncIterable<T>, isWanted: (one: T) => boolean): Promise<object> {
  for await (const one of list) {
    if (isWanted(one)) {
      const entries = Object.entries(one).filter(([, value]) => typeof value !== "object");
      return { result: Object.fromEntries(entries.map(([name, value]) => [name === "executionId" ? "execution_id" : name, value])) };
    }
  }
  throw new Error("what was looked for is not in the list");
}

function failureOf(error: unknown): object {
  if (!(error instanceof PromptFlowError)) {
    throw error;
  }
  const violations = Object.fromEntries(error.violations.map(({ field, description }) => [field, description]));
  return { status: error.code, reason: error.reason, message: error.message, step: error.step ?? "", violations };
}

function resultOf(execution: DescMessage): DescMessage | undefined {
  return execution.field["result"]?.message;
}

function executed(execution: AnyExecution, desc: DescMessage): object {
  if (execution.error !== undefined) {
    throw execution.error;
  }
  const result = resultOf(desc);
  const steps = desc.field["steps"]?.message;
  const states = Object.entries(execution.steps as Record<string, { state: { status: string } }>);
  return {
    result: execution.result === undefined ? null : jsonOf(execution.result, result),
    steps: Object.fromEntries(states.map(([name, { state }]) => [steps?.field[name]?.name ?? name, state.status])),
  };
}

/** A tagged value of a case as the client takes it; names of the flow become names of TypeScript. */
function nativeObject(value: unknown, desc: DescMessage): Fields {
  const entries = Object.entries(value as Fields).map(([name, item]) => {
    const field = desc.fields.find((found) => found.name === name);
    return [field?.localName ?? name, field === undefined ? item : native(item, field)];
  });
  return Object.fromEntries(entries) as Fields;
}

function native(value: unknown, field: DescField): unknown {
  if (field.fieldKind === "list" && Array.isArray(value)) {
    return value.map((item) => nativeSingle(item, field));
  }
  if (field.fieldKind === "map" && typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, nativeSingle(item, field)]));
  }
  return nativeSingle(value, field);
}

function nativeSingle(value: unknown, field: DescField): unknown {
  if (typeof value !== "object" || value === null || field.message?.typeName === "google.protobuf.Value") {
    return typeof value === "string" && BIG.test(value) ? BigInt(value.slice(BIG_MARK.length)) : value;
  }
  const tags = value as Record<string, string>;
  if (tags["$file"] !== undefined) {
    return tags["$file"];
  }
  if (tags["$content"] !== undefined) {
    return { content: Buffer.from(tags["$content"], "base64"), name: tags["name"] };
  }
  if (tags["$bytes"] !== undefined) {
    return new Uint8Array(Buffer.from(tags["$bytes"], "base64"));
  }
  if (tags["$timestamp"] !== undefined) {
    return Timestamp.fromText(tags["$timestamp"]);
  }
  if (tags["$duration"] !== undefined) {
    return Duration.fromText(tags["$duration"]);
  }
  return field.message === undefined ? value : nativeObject(value, field.message);
}

/** What the client gives, as JSON writes it, with the flow's own names. */
function jsonOf(value: unknown, desc: DescMessage | undefined): unknown {
  if (typeof value === "bigint") {
    return String(value);
  }
  if (value instanceof Uint8Array) {
    return Buffer.from(value).toString("base64");
  }
  if (value instanceof Timestamp || value instanceof Duration || typeof value !== "object" || value === null) {
    return value;
  }
  if (Array.isArray(value)) {
    return value.map((item) => jsonOf(item, desc));
  }
  const entries = Object.entries(value).map(([name, item]) => {
    const field = desc?.field[name];
    return [field?.name ?? name, field?.fieldKind === "map" ? jsonOfMap(item, field.message) : jsonOf(item, field?.message)];
  });
  return Object.fromEntries(entries);
}

function jsonOfMap(value: unknown, desc: DescMessage | undefined): unknown {
  return Object.fromEntries(Object.entries(value as Fields).map(([key, item]) => [key, jsonOf(item, desc)]));
}

/** JSON of Python keeps integers of any size; this language's own reader does not. */
const BIG_MARK = "\u0000bigint:";
const BIG = new RegExp(`^${BIG_MARK}-?\\d+$`);

function parsed(line: string): Request {
  const marked = line.replace(/("(?:[^"\\]|\\.)*")|(-?\d{16,})(?=[,}\] ])/g, (_, text?: string, digits?: string) =>
    text ?? JSON.stringify(`${BIG_MARK}${digits}`),
  );
  return JSON.parse(marked) as Request;
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = parsed(line);
  process.stdout.write(`${JSON.stringify({ id: request.id, ...(await outcomeOf(request)) })}\n`);
}
promptflow.close();
