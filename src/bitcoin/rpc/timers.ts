/** The clock of time-outs and polling, passed in so that tests need not wait. */
export interface Timers {
  /** Calls back once, after so many milliseconds. Returns the way to stop it. */
  after(milliseconds: number, callback: () => void): () => void;
}

export const systemTimers: Timers = {
  after(milliseconds, callback) {
    const timer = setTimeout(callback, milliseconds);
    return () => clearTimeout(timer);
  },
};
