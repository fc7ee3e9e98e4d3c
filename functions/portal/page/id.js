// Ids that are made from names.

/** An id may have so many letters. */
export const ID_LENGTH = 64;

/** An id of `length` letters at most, made from a name: small letters, digits and dashes; `otherwise` where nothing of the name may stand in one. */
export function idOf(name, otherwise, length = ID_LENGTH) {
  const text = name.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replace(/[^a-z0-9]+/g, "-");
  return text.slice(0, length).replace(/^-|-$/g, "") || otherwise;
}
