/** A relay on loopback that cuts connections when a test says so, as a network does. */

import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

export class Relay {
  readonly #server: Server;
  readonly #pairs = new Set<Socket>();
  #left = Number.POSITIVE_INFINITY;

  private constructor(host: string, port: number) {
    this.#server = createServer((near) => {
      const far = connect(port, host);
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#pairs.add(from);
        from.on("error", () => undefined);
        from.on("close", () => {
          this.#pairs.delete(from);
          to.destroy();
        });
        from.on("data", (chunk: Buffer) => {
          if (from === far) {
            this.#left -= chunk.length;
            if (this.#left < 0) {
              this.cut();
              return;
            }
          }
          to.write(chunk);
        });
      }
    });
  }

  static async to(address: string): Promise<Relay> {
    const { hostname, port } = new URL(`http://${address}`);
    const relay = new Relay(hostname, Number(port));
    await new Promise<void>((resolve) => relay.#server.listen(0, "127.0.0.1", resolve));
    return relay;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Cut everything once so many bytes more have come back. */
  cutAfter(bytes: number): void {
    this.#left = bytes;
  }

  /** Cut every connection; new ones are taken. */
  cut(): void {
    this.#left = Number.POSITIVE_INFINITY;
    for (const socket of this.#pairs) {
      socket.resetAndDestroy();
    }
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}
