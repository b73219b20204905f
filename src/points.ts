/**
 * The named steps of publish and consume, in the order a message passes them. `Runtime.reached` is told of each; tests
 * and the simulator stop, delay or kill the process there. Between two points nothing durable changes.
 */
export const publishPoints = ['publish:begun', 'publish:appended', 'commit:before', 'publish:committed'] as const

/** With a receive handler 'consume:receiving' and 'consume:received-done' take the place of applying and applied. */
export const consumePoints = [
  'consume:received',
  'consume:begun',
  'consume:guarded',
  'consume:claimed',
  'consume:applying',
  'consume:applied',
  'consume:checkpointed',
  'commit:before',
  'consume:committed',
  'consume:settled',
] as const

/** Of a message with calls, between 'consume:committed' (it is parked) and the 'consume:begun' of the commit that applies it. */
export const callPoints = ['call:intended', 'call:answered', 'call:journaled'] as const

export const receivePoints = ['consume:acknowledged', 'consume:receiving', 'consume:received-done'] as const
/** In a steady flow the next rows are numbered in the commit before 'relay:removed', and the first two are not passed. */
export const relayPoints = ['relay:read', 'relay:numbered', 'relay:sent', 'relay:removed'] as const

export const schedulePoints = ['schedule:due', 'schedule:published', 'schedule:committed'] as const

/** After every commit of an erasure. */
export const erasePoints = ['erase:committed'] as const

/** 'move:copying' is within the target's transaction; between the others something is committed in source or target. */
export const movePoints = [
  'move:reserved',
  'move:sealed',
  'move:copying',
  'move:copied',
  'move:finished',
  'move:final',
  'move:activated',
  'move:giving-up',
  'move:thrown-away',
] as const

export type Point =
  | (typeof publishPoints)[number]
  | (typeof consumePoints)[number]
  | (typeof callPoints)[number]
  | (typeof receivePoints)[number]
  | (typeof relayPoints)[number]
  | (typeof schedulePoints)[number]
  | (typeof erasePoints)[number]
  | (typeof movePoints)[number]
