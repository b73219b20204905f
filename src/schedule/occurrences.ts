import { optionInvalid } from '../errors.ts'
import type { Occurrences } from './cron.ts'

const expected = "a cron pattern of five fields (six with seconds first) or a nickname, for example '0 9 * * 1-5' or '@daily'"

/** Any time at all that is not now: whether a pattern ever matches must not rest on the clock. */
const checkedFromMs = Date.UTC(2000, 0, 1)

/**
 * Refuses what can be seen without reading the pattern: text that stands for no repeated instants (a date), and `?`, which
 * would stand for the moment the program started.
 *
 * @throws OnefoldError `OPTION_INVALID` naming `cron` or `timeZone`.
 */
export function checkPattern(pattern: unknown, timeZone: unknown): void {
  if (typeof pattern !== 'string' || pattern.trim() === '' || pattern.length > 200 || /[?:]/.test(pattern))
    throw optionInvalid('cron', pattern, expected)
  try {
    if (typeof timeZone !== 'string' || timeZone === '') throw new RangeError()
    new Intl.DateTimeFormat('en', { timeZone })
  } catch {
    throw optionInvalid('timeZone', timeZone, "a time zone of the IANA list, for example 'Europe/Berlin' or 'UTC'")
  }
}

/**
 * Reads a pattern. A time of day that a clock change skips is the first instant after the gap; one that comes twice is its
 * first coming. Patterns with several times a day skip what is not there and match both comings of what is there twice.
 *
 * The clock is never read: the instants depend on the arguments (and the machine's time zone data) only.
 *
 * @throws OnefoldError `OPTION_INVALID` naming `cron` when it cannot be read or never matches.
 */
export async function occurrencesOf(pattern: string, timeZone: string): Promise<Occurrences> {
  checkPattern(pattern, timeZone)
  // Loaded here only: an app without schedules needs no dependency.
  const { Cron } = await import('croner')
  let cron: InstanceType<typeof Cron>
  try {
    cron = new Cron(pattern, { timezone: timeZone, mode: '5-or-6-parts', paused: true })
  } catch (error) {
    const said = error instanceof Error ? error.message.replace(/^Cron\w*: /, '') : String(error)
    throw optionInvalid('cron', pattern, `${expected} (${said})`)
  }
  const occurrences: Occurrences = {
    after: (ms) => cron.nextRun(new Date(ms))?.getTime(),
    before: (ms) => cron.previousRuns(1, new Date(ms))[0]?.getTime(),
  }
  if (occurrences.after(checkedFromMs) === undefined) throw optionInvalid('cron', pattern, `${expected} that comes to pass`)
  return occurrences
}
