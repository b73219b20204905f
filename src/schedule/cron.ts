/** The instants a cron pattern names in its time zone: whole seconds since 1970 in ms, in order, without an end in sight. */
export interface Occurrences {
  /** The first one after `ms`; undefined when there is none any more. */
  after(ms: number): number | undefined
  /** The last one before `ms`; undefined when there is none. */
  before(ms: number): number | undefined
}

export type MissedPolicy = 'last' | 'all' | 'none'

/** A firing up to this late is still made where missed ones are not: a busy machine, or another process taking over. */
export const onTimeMs = 60_000
/** Missed instants are counted one by one up to this many at a time. */
const countedMissed = 1_000

export interface DueFirings {
  /** To be published, oldest first. */
  readonly instants: readonly number[]
  /** Given up: due, and not published. */
  readonly missed: number
  /** The newest instant that is due: whatever lies up to it is decided. */
  readonly toMs: number
}

/**
 * What is due of a schedule that has been decided up to and including `lastMs`: undefined when nothing is. An instant is
 * never due twice, however the clock jumps, because `toMs` only grows; and one jump makes at most `maxMissed` firings.
 *
 * 'last' and 'none' fire at most the newest instant, 'none' only within a minute of its time; 'all' the newest `maxMissed`.
 * More than a thousand missed at once (and more than `maxMissed`) are counted as that many.
 */
export function dueFirings(
  occurrences: Occurrences,
  given: { readonly lastMs: number; readonly nowMs: number; readonly missed: MissedPolicy; readonly maxMissed: number },
): DueFirings | undefined {
  const { lastMs, nowMs, missed, maxMissed } = given
  const first = occurrences.after(lastMs)
  if (first === undefined || first > nowMs) return undefined
  // Backwards from now: after years of downtime nobody wants to walk through all of them to find the newest.
  const due: number[] = []
  const counted = Math.max(countedMissed, maxMissed)
  let at = occurrences.before(nowMs + 1)
  while (at !== undefined && at > lastMs && due.length < counted) {
    due.push(at)
    at = occurrences.before(at)
  }
  const [newest = first] = due
  const wanted = missed === 'all' ? maxMissed : missed === 'last' || nowMs - newest <= onTimeMs ? 1 : 0
  const instants = due.slice(0, wanted).reverse()
  return { instants, missed: due.length - instants.length, toMs: newest }
}
