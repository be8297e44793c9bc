/* A second that passes, for whatever shows how long something lasts. */

import { signal, useEffect, useState } from "../lib.js";

const second = signal(0);
setInterval(() => (second.value += 1), 1000);

/** Render the component again every second while `running`, every minute otherwise. */
export function useClock(running = true) {
  const [, show] = useState(0);
  useEffect(() => {
    const every = running ? 1 : 60;
    return second.subscribe((now) => now % every === 0 && show(now));
  }, [running]);
}
