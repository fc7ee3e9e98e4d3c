// The calls of the audit page (functions/portal/page/api.js) with the types of the description: a sample that has to compile.

import type { components, paths } from "./api";

type Method = "get" | "post" | "put" | "delete";

/** The page writes a path without the first `/` and with ids in the places of parameters. */
type Written<Path> = Path extends `/${infer Rest}` ? Filled<Rest> : never;
type Filled<Path> = Path extends `${infer Before}{${string}}${infer After}` ? `${Before}${string}${Filled<After>}` : Path;

/** The described paths that have this method, and the operation of one. */
type Having<M extends Method> = { [Path in keyof paths]: paths[Path] extends Record<M, object> ? Path : never }[keyof paths];
type Operation<M extends Method, Path extends keyof paths> = paths[Path] extends Record<M, infer Found> ? Found : never;

type Query<O> = O extends { parameters: { query?: infer Q } } ? NonNullable<Q> : never;
type Body<O> = O extends { requestBody?: { content: { "application/json": infer B } } } ? B : never;
type Success = 200 | 201 | 202;
type Json<R> = R extends { content: { "application/json": infer Answer } } ? Answer : never;
type Answered<O> = O extends { responses: infer R } ? { [Status in keyof R]: Status extends Success ? Json<R[Status]> : never }[keyof R] : never;

type Get<Path extends keyof paths> = (path: Written<Path>, query?: Query<Operation<"get", Path>>) => Promise<Answered<Operation<"get", Path>>>;
type Send<M extends Method, Path extends keyof paths> = (path: Written<Path>, body: Body<Operation<M, Path>>) => Promise<Answered<Operation<M, Path>>>;

/** A function of api.js for one described path. */
declare const get: <Path extends Having<"get">>(path: Path) => Get<Path>;
declare const post: <Path extends Having<"post">>(path: Path) => Send<"post", Path>;

type Event = components["schemas"]["Event"];

export async function calls(id: string): Promise<string[]> {
  const me = await get("/v1/me")("v1/me");
  const page = await get("/v1/events")("v1/events", { since: "2026-11-30", filter: 'target.name eq "W11"', order: "asc", limit: 10 });
  const events: Event[] = page.events;
  const event: Event = await get("/v1/events/{id}")(`v1/events/${encodeURIComponent(id)}`);
  const actor = { type: "user", email: "alex@nikpot.com" } as const;
  await post("/v1/events")("v1/events", { action: "user.logged_in", occurred_at: "2026-11-30T12:00:00Z", actor });

  // Types that fit anything would let all of this pass.
  // @ts-expect-error: no such path
  get("/v1/nothing");
  // @ts-expect-error: another path than the one named
  await get("/v1/me")("v1/events");
  // @ts-expect-error: no such parameter
  await get("/v1/events")("v1/events", { start: "2026-11-30" });
  // @ts-expect-error: no such order
  await get("/v1/events")("v1/events", { order: "up" });
  // @ts-expect-error: an event has an actor
  await post("/v1/events")("v1/events", { action: "user.logged_in", occurred_at: "2026-11-30T12:00:00Z" });
  // @ts-expect-error: no such member of an answer
  page.evnts;
  return [...me.tenants, page.next ?? "", event.message, ...events.map((event) => event.digest)];
}
