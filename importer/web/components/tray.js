/* Comes. */

export function Tray() {
  return null;
}
