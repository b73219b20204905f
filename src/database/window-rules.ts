import type { AppEvent } from '../event.ts'
import type { DedupWindow } from './database.ts'

/** What every engine makes of a dedup window: pure. */

/** Rows removed per step of housekeeping: short transactions, so that publishers do not notice. */
export const rangeRows = 1_000
/** A generation takes about this many identities: a few MB, so that what is looked up among the newest is in memory. */
export const generationRows = 65_536
/**
 * A stated time further ahead of our clock than this is not believed: one producer that is a year ahead would make the
 * messages of all others look late for a year. The price: such a producer's own late messages are not told from new ones.
 */
export const believedAheadMs = 3_600_000

export type StoredWindow = Pick<DedupWindow, 'ms' | 'maxIds'>

/** A process that has not been told of a window must not forget what another was told to remember. */
export function effectiveWindow(asked: DedupWindow, stored: StoredWindow | undefined): DedupWindow {
  if (asked.stated === true || stored === undefined) return asked
  return { ms: Math.max(asked.ms, stored.ms), maxIds: Math.max(asked.maxIds, stored.maxIds) }
}

/** `rows` ids were forgotten before their time: `liveMs` is how far back the window reaches now. */
export function shrunkEvent(
  { topic, group, rows, liveMs }: { topic: string; group: string; rows: number; liveMs: number },
  window: StoredWindow,
): AppEvent {
  return {
    kind: 'window-shrunk',
    topic,
    group: group === '' ? undefined : group,
    message:
      `duplicates are recognised for ${inWords(liveMs)} only, not for the ${inWords(window.ms)} of dedupWindow.ms: ` +
      `${rows} ids were forgotten before their time, because dedupWindow.maxIds is ${window.maxIds}. Raise it.`,
  }
}

function inWords(ms: number): string {
  const minutes = Math.max(0, ms) / 60_000
  if (minutes < 120) return `${Math.floor(minutes)} min`
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1_440)} days`
}

export interface OldestGeneration {
  readonly opened_ms: number
  readonly sealed_ms: number | null
  readonly running_ms: number | null
  readonly rows: number
}

/** The oldest generation goes when the newer ones hold `maxIds`, or when both clocks say that it is over. */
export function headroomOf(
  configured: StoredWindow,
  ids: number,
  oldest: OldestGeneration | undefined,
  { nowMs, runningMs }: { readonly nowMs: number; readonly runningMs: number },
): { ids: number; ms: number } {
  if (oldest === undefined || oldest.sealed_ms === null) {
    // It is the newest as well: it is sealed first, when it is full or an eighth of the window old.
    const untilSealedMs = Math.max(0, (oldest?.opened_ms ?? nowMs) + configured.ms / 8 - nowMs)
    return { ids: configured.maxIds + Math.max(0, generationRows - ids), ms: configured.ms + Math.round(untilSealedMs) }
  }
  const byWallMs = configured.ms - (nowMs - oldest.sealed_ms)
  const byRunningMs = configured.ms - (oldest.running_ms === null ? 0 : runningMs - oldest.running_ms)
  return {
    ids: Math.max(0, configured.maxIds - (ids - oldest.rows)),
    ms: Math.max(0, byWallMs, byRunningMs),
  }
}
