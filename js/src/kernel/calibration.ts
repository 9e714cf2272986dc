import type { Connection } from "./connection";
import { measure } from "./measure";

const PADDED = 66_000;
const ROUNDS = 3;

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.POSITIVE_INFINITY;
}

function ping(connection: Connection, pad: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    connection.ask(
      "ping",
      {},
      {
        answer: ({ bytes }) => {
          measure("ping", start, { bytes });
          resolve(performance.now() - start);
        },
        error: (sentence) => reject(new Error(sentence)),
      },
      { began: start, pad },
    );
  });
}

/**
 * A reply above one loopback segment leaves the server at once where a smaller one waits some 40 ms for an
 * acknowledgement (DESIGN section 4): measure both here, and ask for padding where it is the faster way.
 */
export async function calibrate(connection: Connection): Promise<void> {
  const small: number[] = [];
  const padded: number[] = [];
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      small.push(await ping(connection, 0));
      padded.push(await ping(connection, PADDED));
    }
  } catch {
    return; // A kernel side without pings is served unpadded.
  }
  connection.pad = median(padded) < median(small) ? PADDED : 0;
}
