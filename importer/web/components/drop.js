/* Comes. */

export function Drop() {
  return null;
}
