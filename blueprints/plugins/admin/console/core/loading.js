// Load data into components, and keep only the result of the newest request.

import { useCallback, useEffect, useRef, useState } from "../vendor/preact.js";
import { nextPage, send } from "./api.js";

/**
 * Call an asynchronous function when the component appears and whenever a dependency changes. It gets a signal, which
 * aborts the request of the former call. With *keep* the former data stay until the new ones arrive, as `stale`.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @param {any[]} dependencies
 * @param {{keep?: boolean}} options
 * @returns {{data: T | undefined, stale: boolean, error: Error | null, loading: boolean, reload: () => Promise<void>}}
 */
export function useLoad(load, dependencies, { keep = false } = {}) {
  const [state, setState] = useState({ data: undefined, of: [], error: null, loading: true });
  const running = useRef(null);
  const isStale = ({ data, of }) => data !== undefined && dependencies.some((each, index) => each !== of[index]);
  // A caller of reload may have waited for something else while the dependencies changed.
  const latest = useRef(null);
  latest.current = { load, dependencies, isStale };
  const reload = useCallback(async () => {
    running.current?.abort();
    const { signal } = (running.current = new AbortController());
    const { current } = latest;
    setState((old) => ({ ...old, loading: true }));
    try {
      const data = await current.load(signal);
      if (!signal.aborted) setState({ data, of: current.dependencies, error: null, loading: false });
    } catch (error) {
      if (signal.aborted) return;
      setState((old) => ({ ...old, data: current.isStale(old) ? undefined : old.data, error, loading: false }));
    }
  }, []);
  useEffect(() => {
    setState((old) => ({ ...old, data: keep ? old.data : undefined, error: null }));
    reload();
    return () => running.current.abort();
  }, dependencies);
  const stale = isStale(state);
  return { ...state, data: stale && !keep ? undefined : state.data, stale, reload };
}

/**
 * Load the objects of a list page by page.
 * @param {URL} url  of the first page
 * @param {(objects: any[]) => any} select  returns what to keep of a page; pages without any are passed over
 */
export function usePages(url, select = (objects) => objects) {
  const [pages, setPages] = useState([]);
  const [state, setState] = useState({ next: url, error: null, loading: true });
  const newest = useRef(0);
  const first = useRef(url);
  first.current = url;
  const load = async (from, before) => {
    const turn = ++newest.current;
    setState({ next: null, error: null, loading: true });
    let next = from;
    try {
      let objects = [];
      while (next !== null && objects.length === 0) {
        const reply = await send("GET", next);
        objects = await select(reply.body.data);
        if (turn !== newest.current) return;
        next = nextPage(reply);
      }
      setPages([...before, objects]);
      setState({ next, error: null, loading: false });
    } catch (error) {
      if (turn === newest.current) setState({ next, error, loading: false });
    }
  };
  useEffect(() => {
    load(url, []);
  }, [url.href]);
  return { ...state, objects: pages.flat(), more: () => load(state.next, pages), reload: () => load(first.current, []) };
}

/**
 * Load a module that the first page does not need; null until it is there.
 * @param {() => Promise<any>} load
 */
export function useModule(load) {
  const [loaded, setLoaded] = useState(null);
  useEffect(() => {
    load().then((module) => setLoaded(() => module));
  }, []);
  return loaded;
}

/** Call an asynchronous function every few seconds while the tab is visible, one call after the other. */
export function useInterval(act, seconds) {
  const latest = useRef(act);
  latest.current = act;
  useEffect(() => {
    let running = false;
    const call = async () => {
      if (running || document.visibilityState !== "visible") return;
      running = true;
      try {
        await latest.current();
      } finally {
        running = false;
      }
    };
    const timer = setInterval(call, seconds * 1000);
    return () => clearInterval(timer);
  }, [seconds]);
}

/** Return a value once it has not changed for some milliseconds. */
export function useSettled(value, milliseconds = 200) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value, milliseconds]);
  return settled;
}
