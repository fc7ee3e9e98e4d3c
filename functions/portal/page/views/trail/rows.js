// The rows of the trail: searched page by page, the newest first, and what is recorded meanwhile.

import { get, post } from "../../api.js";
import { useEffect, useRef, useState } from "../../html.js";

const AT_A_TIME = 100;
const LIVE_SECONDS = 2;

const isBefore = (one, other) => one.occurred_at > other.occurred_at || (one.occurred_at === other.occurred_at && one.id > other.id);

/** Puts events among rows, each once, by when they occurred. */
function merged(rows, events) {
  const known = new Set(rows.map((event) => event.id));
  const others = events.filter((event) => !known.has(event.id));
  return others.length === 0 ? rows : [...rows, ...others].sort((one, other) => (isBefore(one, other) ? -1 : 1));
}

/**
 * The state with what came by the feed in its place. What lies behind the last row, while there is more behind it, waits until the pages have come as
 * far: there it is added, whatever the pages hold.
 */
function withFed(state) {
  const last = state.rows.at(-1);
  const isReached = (event) => !state.next || !last || isBefore(event, last);
  const reached = state.fed.filter(isReached);
  if (reached.length === 0) return state;
  return { ...state, rows: merged(state.rows, reached), fed: state.fed.filter((event) => !isReached(event)) };
}

const NOTHING = { rows: [], next: null, scanned: 0, isLoading: false, failure: null, fed: [], fresh: new Set(), lost: null };

/**
 * The events that `search` (the body of a search) finds: `{rows, fresh, scanned, isLoading, failure, hasMore, more(), stop(), again()}`. `fresh` holds the
 * ids of those that came while it was live, `lost` why nothing comes just now.
 */
export function useTrail(search, isLive) {
  const [state, setState] = useState({ ...NOTHING, isLoading: search !== null });
  const [turn, setTurn] = useState(0);
  const running = useRef(null);

  /** Asks for pages until there are some more rows: one may be short or empty while the search goes on behind it. */
  const load = async (cursor) => {
    running.current?.abort();
    const aborter = (running.current = new AbortController());
    setState((before) => ({ ...before, isLoading: true, failure: null }));
    let found = 0;
    try {
      do {
        const page = await post("v1/events/search", { ...search, limit: AT_A_TIME, cursor: cursor ?? undefined }, { signal: aborter.signal, repeat: true });
        if (aborter.signal.aborted) return;
        found += page.events.length;
        cursor = page.next;
        const isOver = !cursor || found >= AT_A_TIME;
        setState((before) => withFed({ ...before, rows: merged(before.rows, page.events), next: cursor, scanned: before.scanned + page.scanned, isLoading: !isOver }));
      } while (cursor && found < AT_A_TIME);
    } catch (failure) {
      if (!aborter.signal.aborted) setState((before) => ({ ...before, isLoading: false, failure, next: cursor ?? before.next }));
    }
  };

  /** Follows the feed from a place on. It is kept while nothing answers: nothing is missed when it does again. */
  const follow = (after, signal) => {
    const { filter, q, include_service, since } = search;
    const step = async () => {
      try {
        const page = document.hidden ? null : await get("v1/feed", { after, filter, q, include_service, limit: 1000 }, { signal });
        after = page?.next ?? after;
        const events = page?.events.filter((event) => !since || event.occurred_at >= since) ?? [];
        setState((before) => withFed({ ...before, lost: page ? null : before.lost, fed: [...before.fed, ...events], fresh: events.length > 0 ? new Set([...before.fresh, ...events.map(({ id }) => id)]) : before.fresh }));
      } catch (failure) {
        if (!signal.aborted) setState((before) => ({ ...before, lost: failure }));
      }
      if (!signal.aborted) setTimeout(step, LIVE_SECONDS * 1000);
    };
    setTimeout(step, LIVE_SECONDS * 1000);
  };

  useEffect(() => {
    const aborter = new AbortController();
    setState({ ...NOTHING, isLoading: search !== null });
    const begin = async () => {
      if (isLive) {
        // The place in the feed first, then the search: what is recorded between the two is in both, never in neither.
        try {
          const { next } = await get("v1/feed", { after: "now", filter: search.filter, q: search.q, include_service: search.include_service, limit: 1 }, { signal: aborter.signal });
          follow(next, aborter.signal);
        } catch (failure) {
          if (aborter.signal.aborted) return;
          setState((before) => ({ ...before, lost: failure }));
        }
      }
      load(null);
    };
    if (search !== null) begin();
    return () => (aborter.abort(), running.current?.abort());
  }, [search, turn, isLive]);

  const again = () => setTurn((turn) => turn + 1);
  return {
    ...state,
    hasMore: Boolean(state.next),
    more: () => !state.isLoading && state.next && load(state.next),
    again,
    goOn: () => (state.next ? load(state.next) : again()),
    stop: () => (running.current?.abort(), setState((before) => ({ ...before, isLoading: false }))),
  };
}
