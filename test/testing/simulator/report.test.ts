import { describe, expect, test } from 'vitest'
import type { Certificate, ProofFailure } from '../../../src/testing/index.ts'
import { renderCertificate, renderFailure, renderStory } from '../../../src/testing/simulator/report.ts'

const moments = (count: number) => Array.from({ length: count }, (_, atMs) => ({ atMs, who: 'worker 1', what: `does ${atMs}` }))

describe('a story', () => {
  test('of up to 200 moments is told whole, a line each, with the place in the user’s file where there is one', () => {
    expect(renderStory(moments(200)).split('\n')).toHaveLength(200)
    expect(renderStory([{ atMs: 7, who: 'worker 1', what: 'writes', place: 'app.ts:3' }])).toBe(
      '      7 ms  worker 1  writes  (app.ts:3)',
    )
  })

  test('without an end is told by its beginning and its last moments, and says how many are left out', () => {
    const lines = renderStory(moments(60_000)).split('\n')
    expect(lines).toHaveLength(201)
    expect(lines[149]).toContain('does 149')
    expect(lines[150]).toBe('  … 59,800 moments are left out; `failure.story` has them …')
    expect(lines[151]).toContain('does 59950')
    expect(lines[200]).toContain('does 59999')
  })
})

const failure: Omit<ProofFailure, 'text'> = {
  rule: 'money is neither made nor lost',
  what: 'The accounts hold 190 in all, and began with 200.',
  faults: ['worker 2: consume payments/ledger · killed after COMMIT'],
  vector: '5:2',
  story: [
    { atMs: 0, who: 'producer', what: 'publishes p1' },
    { atMs: 1_250, who: 'worker 2 (life 2)', what: 'runs the handler', place: 'ledger.ts:12' },
  ],
  notRun: ['the handler of booked/receipts (ledger.ts:50)'],
  schedules: 1_234,
  shrunkFrom: 7,
}

test('a story is one moment a line, in columns, with the place where there is one', () => {
  expect(renderStory(failure.story)).toBe(
    ['      0 ms  producer           publishes p1', '   1250 ms  worker 2 (life 2)  runs the handler  (ledger.ts:12)'].join('\n'),
  )
  expect(renderStory([])).toBe('')
})

test('a failure says the rule, the sentence, the faults, the story and how to see it again', () => {
  const lines = renderFailure(failure).split('\n')
  expect(lines.slice(0, 5)).toEqual([
    'Violated: money is neither made nor lost',
    failure.what,
    '',
    'It takes one fault:',
    '  worker 2: consume payments/ledger · killed after COMMIT',
  ])
  expect(lines).toContain(renderStory(failure.story).split('\n')[1])
  expect(lines).toContain('Not run in it: the handler of booked/receipts (ledger.ts:50).')
  expect(lines).toContain('Found after 1,234 schedules, shrunk from 7 faults.')
  expect(lines.at(-1)).toContain("--replay '5:2'")
  expect(lines.at(-1)).toContain("{ replay: '5:2' }")
})

test('what needs no fault says so; one schedule is one schedule; what was not shrunk was not', () => {
  const text = renderFailure({ ...failure, faults: [], vector: '', schedules: 1, shrunkFrom: 0 })
  expect(text).toContain('No fault at all was needed.')
  expect(text).toContain('Found after 1 schedule.')
  expect(renderFailure({ ...failure, faults: ['a · b', 'c · d'], shrunkFrom: 2 })).toContain(
    'It takes 2 faults:\n  a · b\n  c · d\n',
  )
})

const certificate: Omit<Certificate, 'text'> = {
  database: 'SQLite',
  schedulesPerSecond: 6_246,
  schedules: 6_246,
  exhaustedDeviations: 2,
  partialSchedules: 0,
  randomSchedules: 0,
  repeatedSchedules: 124,
  seed: 1,
  replayed: undefined,
  workers: 2,
  elapsedMs: 1_000,
  withoutFaults: { attention: 0, behind: 0, first: undefined, hint: undefined } as Certificate['withoutFaults'],
  coverage: { 'publish to payments · killed before COMMIT': 12 },
  checked: ['invariant: no account is overdrawn'],
  notCompared: [],
  simulated: ['commits'],
  notSimulated: ['the disk'],
}

test('a certificate states its bounds, never more', () => {
  const text = renderCertificate(certificate)
  expect(text).toMatch(/^No violation in 6,246 schedules: all placements of ≤ 2 faults\.\n/)
  expect(text).toContain('2 workers and a producer; 124 schedules were run twice and went the same way.')
  expect(text).toContain('    12  publish to payments · killed before COMMIT')
  expect(text).toContain('Not simulated:\n  the disk')
  expect(text).not.toContain('Not compared')
  expect(text).not.toMatch(/prove[ns]?\b|guarantee/i)
})

test('what was not compared is said, and so is what was only begun, and by which seed', () => {
  const text = renderCertificate({
    ...certificate,
    notCompared: ['note.at'],
    exhaustedDeviations: 1,
    randomSchedules: 100,
    seed: 42,
  })
  expect(text).toContain('all placements of ≤ 1 fault, and 100 random ones (seed 42)')
  expect(text).toContain('Not compared, for it depends on time or chance:\n  note.at')
  const begun = renderCertificate({ ...certificate, exhaustedDeviations: 1, partialSchedules: 77 })
  expect(begun).toContain('and 77 of those of 2 (there was no time for all)')
  expect(renderCertificate({ ...certificate, exhaustedDeviations: 0 })).toContain('the schedule without faults')
})

test('a replay of another code’s vector says that it is not what was asked for', () => {
  const replayed = renderCertificate({ ...certificate, replayed: { asked: '5:2,9:1', taken: '5:2' } })
  expect(replayed).toMatch(/^No violation in the one schedule that was run: '5:2'\.\n/)
  expect(replayed).toContain("BUT: that is not '5:2,9:1'")
  expect(renderCertificate({ ...certificate, replayed: { asked: '5:2', taken: '5:2' } })).not.toContain('BUT')
})

test('messages that need a person without any fault are said before anything else', () => {
  const withoutFaults = {
    attention: 1,
    behind: 2,
    first: 'p5: there is no account',
    hint: undefined,
  } as Certificate['withoutFaults']
  const [, , but] = renderCertificate({ ...certificate, withoutFaults }).split('\n')
  expect(but).toBe('BUT: without any fault, one message ends with a person, and 2 more wait behind. The first is')
})
