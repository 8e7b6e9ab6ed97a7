// Write objects in batches: wait while the server is busy, and let one object that is refused stop no other.

import { ApiError, send } from "./api.js";

const TRIES = 4;
const WAIT_MILLISECONDS = 2000;
const NOT_UNIQUE = 122;

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Return whether a batch is refused as a whole because of one request, or of its length. */
function isDivisible({ status, errno }) {
  return status === 413 || (status === 409 && errno === NOT_UNIQUE);
}

/** Return whether the same batch may be accepted later: the server is busy or not reachable. */
function isPassing(error) {
  return error instanceof ApiError && [0, 409, 429, 503].includes(error.status) && !isDivisible(error);
}

/** Raise ApiError if a response is about the user or the server rather than about the object. */
function expectWritten(responses) {
  const failure = responses.find(({ status }) => status === 401 || status === 429 || status >= 500);
  if (failure !== undefined) throw new ApiError(failure.status, failure.body, new Headers(failure.headers));
}

async function sendPatiently(requests) {
  for (let attempt = 1; ; attempt++) {
    try {
      const { responses } = (await send("POST", "/batch", { body: { requests } })).body;
      expectWritten(responses);
      return responses;
    } catch (error) {
      if (!isPassing(error) || attempt === TRIES) throw error;
      await pause(error.retrySeconds ? error.retrySeconds * 1000 : WAIT_MILLISECONDS);
    }
  }
}

/**
 * Send a batch; return one response for each request: `{status, body}`.
 *
 * Raises ApiError if the server accepts none of them now: 401, 507, 503 after some tries. A part of the batch may have
 * been written all the same.
 * @param {{method: string, path: string, body: any, headers?: Record<string, string>}[]} requests
 */
export async function writeBatch(requests) {
  try {
    return await sendPatiently(requests);
  } catch (error) {
    if (!isDivisible(error)) throw error;
    if (requests.length === 1) return [{ status: error.status, body: error.body }];
    const middle = Math.ceil(requests.length / 2);
    return [...(await writeBatch(requests.slice(0, middle))), ...(await writeBatch(requests.slice(middle)))];
  }
}
