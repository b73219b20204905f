import type { Certificate, ProofFailure } from './proof.ts'
import type { Moment } from './world.ts'

const number = (value: number): string => value.toLocaleString('en-US')
const plural = (value: number, one: string, many: string): string => `${number(value)} ${value === 1 ? one : many}`

/** Of a story that does not come to an end, its beginning and where it was given up. */
const longest = { beginning: 150, end: 50 }

/** What happened, a line each. */
export function renderStory(moments: readonly Moment[]): string {
  const { beginning, end } = longest
  if (moments.length <= beginning + end) return renderMoments(moments)
  const left = `  … ${number(moments.length - beginning - end)} moments are left out; \`failure.story\` has them …`
  return [renderMoments(moments.slice(0, beginning)), left, renderMoments(moments.slice(-end))].join('\n')
}

function renderMoments(story: readonly Moment[]): string {
  const width = Math.max(0, ...story.map(({ who }) => who.length))
  return story
    .map(
      ({ atMs, who, what, place }) =>
        `  ${String(atMs).padStart(5)} ms  ${who.padEnd(width)}  ${what}${place === undefined ? '' : `  (${place})`}`,
    )
    .join('\n')
}

export function renderFailure(failure: Omit<ProofFailure, 'text'>): string {
  const faults =
    failure.faults.length === 0
      ? 'No fault at all was needed.'
      : `It takes ${failure.faults.length === 1 ? 'one fault' : `${failure.faults.length} faults`}:\n${failure.faults.map((fault) => `  ${fault}`).join('\n')}`
  return [
    `Violated: ${failure.rule}`,
    failure.what,
    '',
    faults,
    '',
    'What happened:',
    renderStory(failure.story),
    ...(failure.notRun.length === 0 ? [] : [`Not run in it: ${failure.notRun.join('; ')}.`]),
    '',
    `Found after ${plural(failure.schedules, 'schedule', 'schedules')}${failure.shrunkFrom > failure.faults.length ? `, shrunk from ${failure.shrunkFrom} faults` : ''}.`,
    `Replay it with: --replay '${failure.vector}' (in a test: { replay: '${failure.vector}' })`,
  ].join('\n')
}

/** Right behind the first line: whoever reads only that much must not be misled. */
function renderWithoutFaults({ attention, behind, first, hint }: Certificate['withoutFaults']): string[] {
  if (attention === 0) return []
  const waiting = behind === 0 ? '' : `, and ${number(behind)} more wait${behind === 1 ? 's' : ''} behind`
  return [
    '',
    `BUT: without any fault, ${attention === 1 ? 'one message ends' : `${number(attention)} messages end`} with a person${waiting}. The first is`,
    `  ${first}`,
    ...(hint === undefined ? [] : [hint]),
    'What their handlers would have done is not shown.',
    '',
  ]
}

function renderReplayed({ asked, taken }: NonNullable<Certificate['replayed']>): string[] {
  const said = `No violation in the one schedule that was run: ${taken === '' ? 'nothing goes wrong in it' : `'${taken}'`}.`
  if (asked === taken) return [said]
  return [
    said,
    '',
    `BUT: that is not '${asked}', for this code does not come to all places it names. It may have been made for other code.`,
    '',
  ]
}

export function renderCertificate(certificate: Omit<Certificate, 'text'>): string {
  const { schedules, exhaustedDeviations: exhausted, randomSchedules, repeatedSchedules: repeated, notCompared } = certificate
  const all =
    exhausted === 0 ? 'the schedule without faults' : `all placements of ≤ ${exhausted} fault${exhausted === 1 ? '' : 's'}`
  const { partialSchedules: partial, replayed } = certificate
  const begun =
    partial === 0
      ? ''
      : `, and ${number(partial)} of ${exhausted === 0 ? 'the placements of one fault' : `those of ${exhausted + 1}`} (there was no time for all)`
  const tried = `${plural(schedules, 'schedule', 'schedules')}: ${all}${begun}${randomSchedules > 0 ? `, and ${number(randomSchedules)} random ones (seed ${certificate.seed})` : ''}`
  const list = (title: string, lines: readonly string[]): string[] =>
    lines.length === 0 ? [] : ['', title, ...lines.map((line) => `  ${line}`)]
  return [
    ...(replayed === undefined ? [`No violation in ${tried}.`] : renderReplayed(replayed)),
    ...renderWithoutFaults(certificate.withoutFaults),
    `${certificate.workers} worker${certificate.workers === 1 ? '' : 's'} and a producer${repeated === 0 ? '' : `; ${plural(repeated, 'schedule was', 'schedules were')} run twice and went the same way`}.`,
    ...list('Checked:', certificate.checked),
    ...list(
      'Went wrong, so often:',
      Object.entries(certificate.coverage).map(([what, times]) => `${String(times).padStart(6)}  ${what}`),
    ),
    ...list('Simulated:', certificate.simulated),
    ...list('Not simulated:', certificate.notSimulated),
    ...list('Not compared, for it depends on time or chance:', notCompared),
  ].join('\n')
}
