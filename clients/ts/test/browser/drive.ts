/**
 * Opens the page in a real browser and cuts its connections in mid-stream; writes what the page found, as JSON.
 *
 * Arguments: the browser, the gateway's address, the folder of page.js, a page to read, the path of a screenshot,
 * then the flags of the browser.
 */

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { Relay } from "../e2e/cutting.js";

const [executablePath = "", gateway = "", folder = "", letter = "", screenshot = "", ...flags] = process.argv.slice(2);
const HTML = `<!doctype html><html lang="en"><meta charset="utf-8"><title>PromptFlow</title>
<link rel="icon" href="data:,">
<style>body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem; color: #1d2433 } li { margin: .15rem 0 }</style>
<h1>PromptFlow in a browser</h1><ol id="events"></ol><script type="module" src="page.js"></script></html>`;
const files: Readonly<Record<string, () => Promise<[string, string | Uint8Array]>>> = {
  "/": async () => ["text/html", HTML],
  "/page.js": async () => ["text/javascript", await readFile(join(folder, "page.js"))],
  "/letter.jpg": async () => ["image/jpeg", await readFile(letter)],
};
const site = createServer((request, response) => {
  const file = files[new URL(request.url ?? "/", "http://site").pathname];
  if (file === undefined) {
    response.writeHead(404).end();
    return;
  }
  void file().then(([type, content]) => response.writeHead(200, { "content-type": type }).end(content));
});
await new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve));
const relay = await Relay.to(gateway);
const browser = await chromium.launch({ executablePath, args: flags, timeout: 30_000 });
try {
  const page = await browser.newPage();
  const said: string[] = [];
  const errors: string[] = [];
  const keys = new Set<string | undefined>();
  let cuts = 0;
  page.on("console", (message) => said.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("request", (request) => {
    if (request.method() === "POST") {
      keys.add(request.headers()["x-api-key"]);
    }
  });
  await page.exposeFunction("onFlowEvent", (sequence: number) => {
    if (sequence === 3 || sequence === 6) {
      cuts += 1;
      relay.cut();
    }
  });
  const { port } = site.address() as AddressInfo;
  await page.goto(`http://127.0.0.1:${port}/?address=http://${relay.address}`);
  await page.waitForFunction("document.body.dataset.found !== undefined", undefined, { timeout: 40_000 });
  await page.screenshot({ path: screenshot });
  const found = JSON.parse((await page.getAttribute("body", "data-found")) ?? "{}") as object;
  process.stdout.write(`${JSON.stringify({ ...found, cuts, said, errors, keys: [...keys], browser: browser.version() })}\n`);
} finally {
  await browser.close();
  relay.close();
  site.close();
}
