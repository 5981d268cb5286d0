/** Headers that say who calls, made afresh for each call. */

type MaybePromise<T> = T | PromiseLike<T>;

/** Gives the headers of one call. */
export type MetadataHook = () => MaybePromise<Readonly<Record<string, string>>>;

/** Send an API key with each call. */
export function apiKey(key: string): MetadataHook {
  return () => ({ "x-api-key": key });
}

/** Send a bearer token with each call; a function is asked each time, so that tokens can be renewed. */
export function bearer(token: string | (() => MaybePromise<string>)): MetadataHook {
  return async () => ({ authorization: `Bearer ${typeof token === "string" ? token : await token()}` });
}
