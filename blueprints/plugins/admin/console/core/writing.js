// Send batches of writes, and wait while the server is busy.

import { ApiError, send } from "./api.js";

const TRIES = 4;
const WAIT_MILLISECONDS = 2000;

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Send a batch; try again while the server is busy or not reachable. */
export async function sendPatiently(requests) {
  for (let attempt = 1; ; attempt++) {
    try {
      return (await send("POST", "/batch", { body: { requests } })).body.responses;
    } catch (error) {
      const busy = error instanceof ApiError && [0, 409, 429, 503].includes(error.status);
      if (!busy || attempt === TRIES) throw error;
      await pause(error.retrySeconds ? error.retrySeconds * 1000 : WAIT_MILLISECONDS);
    }
  }
}
