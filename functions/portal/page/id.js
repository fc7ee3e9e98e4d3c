// Ids that are made from names.

import { get } from "./api.js";

/** An id may have so many letters. */
export const ID_LENGTH = 64;

/** An id of `length` letters at most, made from a name: small letters, digits and dashes; `otherwise` where nothing of the name may stand in one. */
export function idOf(name, otherwise, length = ID_LENGTH) {
  const text = name.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replace(/[^a-z0-9]+/g, "-");
  return text.slice(0, length).replace(/^-|-$/g, "") || otherwise;
}

/** An id made from a name, of `length` letters and room for `-2` and so on, at whose address, `pathOf(id)`, there is nothing yet. */
export async function freeId(name, otherwise, length, pathOf) {
  const base = idOf(name, otherwise, length);
  for (let count = 1; ; count += 1) {
    const id = count === 1 ? base : `${base}-${count}`;
    try {
      await get(pathOf(id));
    } catch (failure) {
      if (failure.status === 404) return id;
      throw failure;
    }
  }
}
