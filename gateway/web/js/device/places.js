// Where the states of known tables are drawn: column and row. Unknown tables are drawn in a ring.

/** @type {Record<string, Record<string, [number, number]>>} */
export const PLACES = {
  packml: {
    Suspending: [2, 0], Suspended: [3, 0], Unsuspending: [4, 0],
    Idle: [1, 1], Starting: [2, 1], Execute: [3, 1], Completing: [4, 1], Complete: [5, 1],
    Holding: [2, 2], Held: [3, 2], Unholding: [4, 2],
    Resetting: [1, 2], Stopped: [1, 3], Stopping: [2, 3], Clearing: [3, 3], Aborted: [4, 3], Aborting: [5, 3],
  },
  agv: {
    charging: [1, 0], idle: [1, 1], driving: [2, 1], acting: [3, 1], waiting: [2, 0], paused: [3, 0], faulted: [1, 2],
    manual: [3, 2],
  },
  "conveyor zone": { empty: [1, 0], occupied: [3, 0], jammed: [2, 1], faulted: [2, 2] },
  "sorter lane": { open: [1, 0], half_full: [2, 0], full: [3, 0], disabled: [2, 1] },
  workstation: { closed: [1, 0], staffed: [2, 0], working: [3, 0] },
};
