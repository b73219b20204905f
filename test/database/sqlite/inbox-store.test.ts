import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { toCanonicalJson } from '../../../src/canonical-json.ts'
import { SqliteDatabase } from '../../../src/database/sqlite/sqlite-database.ts'
import type { ClaimStatus } from '../../../src/inbox/inbox-store.ts'
import type { Envelope } from '../../../src/message.ts'
import { emptyHeaders } from '../../../src/message.ts'
import { ShiftedRuntime } from '../../support/shifted-runtime.ts'
import { temporaryFolder } from '../../support/temporary.ts'

const hourMs = 3_600_000
const window = { ms: 8 * hourMs, maxIds: 10_000_000 }

interface Arrival {
  readonly source: string
  readonly number: number
  readonly numbered: boolean
  readonly body: number
}

const anyArrival = fc.record({
  source: fc.constantFrom('a', 'b'),
  number: fc.integer({ min: 0, max: 40 }),
  numbered: fc.boolean(),
  body: fc.constantFrom(1, 1, 1, 1, 2),
})

const anyStep = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('claim' as const),
      group: fc.constantFrom('g', 'h'),
      batches: fc.array(fc.record({ arrivals: fc.array(anyArrival, { maxLength: 12 }), undone: fc.boolean() }), {
        minLength: 1,
        maxLength: 3,
      }),
      fails: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reopen' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('seal' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('maintain' as const) }) },
)

const envelopeOf = ({ source, number, numbered, body }: Arrival): Envelope => ({
  id: `id ${number}`,
  source,
  sequence: numbered ? BigInt(number) : undefined,
  type: 't',
  timeMs: 0,
  headers: emptyHeaders,
  json: toCanonicalJson({ body }),
})
const nameOf = (group: string, { source, number, numbered }: Arrival): string =>
  `${group} ${source} ${numbered ? '#' : ''}${number}`

class Undo extends Error {}

let files = 0
const folder = temporaryFolder()

test('whatever arrives, is rolled back, sealed, filtered or reopened in between: the inbox answers as a plain map of what was committed', {
  timeout: 30_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { minLength: 1, maxLength: 14 }), async (steps) => {
      const file = join(folder, `${files++}.db`)
      const clock = new ShiftedRuntime()
      const open = async (): Promise<SqliteDatabase> => {
        const opened = new SqliteDatabase(file)
        await opened.open({ runtime: clock.runtime, dedupWindow: window })
        return opened
      }
      let database = await open()
      for (const group of ['g', 'h'])
        await database.write(
          (session) => session.groups.declare({ topic: 't', group }, { startFrom: 'earliest', semantics: 's' }),
          { what: 'test' },
        )
      let committed = new Map<string, number>()
      for (const step of steps) {
        if (step.do === 'reopen') {
          await database.close()
          database = await open()
        } else if (step.do === 'seal') {
          await database.maintain({ nowMs: clock.runtime.wallMs() })
          clock.pass(hourMs + 1_000)
          await database.maintain({ nowMs: clock.runtime.wallMs() })
        } else if (step.do === 'maintain') {
          while (await database.maintain({ nowMs: clock.runtime.wallMs() }));
        } else {
          let model = new Map(committed)
          const work = database.write(
            async (session) => {
              model = new Map(committed)
              for (const { arrivals, undone } of step.batches) {
                const before = new Map(model)
                try {
                  await session.savepoint(async () => {
                    const answers = await session.inbox.claim({ topic: 't', group: step.group }, arrivals.map(envelopeOf))
                    const expected = arrivals.map((arrival): ClaimStatus => {
                      const name = nameOf(step.group, arrival)
                      const known = model.get(name)
                      if (known === undefined) model.set(name, arrival.body)
                      return known === undefined ? 'new' : known === arrival.body ? 'seen' : 'id-reused'
                    })
                    expect(answers).toEqual(expected)
                    if (undone) throw new Undo()
                  })
                } catch (error) {
                  if (!(error instanceof Undo)) throw error
                  model = before
                }
              }
              if (step.fails) throw new Undo()
            },
            { what: 'test' },
          )
          if (step.fails) await expect(work).rejects.toBeInstanceOf(Undo)
          else {
            await work
            committed = model
          }
        }
      }
      await database.close()
    }),
    { numRuns: 60 },
  )
})

test('generations really were sealed and filtered there: this is what the steps above do', async () => {
  const file = join(folder, 'sealed.db')
  const clock = new ShiftedRuntime()
  const database = new SqliteDatabase(file)
  await database.open({ runtime: clock.runtime, dedupWindow: window })
  const subscription = { topic: 't', group: 'g' }
  await database.write((session) => session.groups.declare(subscription, { startFrom: 'earliest', semantics: 's' }), {
    what: 'test',
  })
  const claim = (number: number) =>
    database.write(
      (session) => session.inbox.claim(subscription, [envelopeOf({ source: 'a', number, numbered: false, body: 1 })]),
      { what: 'test' },
    )
  expect(await claim(1)).toEqual(['new'])
  await database.maintain({ nowMs: clock.runtime.wallMs() })
  clock.pass(hourMs + 1_000)
  while (await database.maintain({ nowMs: clock.runtime.wallMs() }));
  expect(await claim(2)).toEqual(['new'])
  expect(await claim(1)).toEqual(['seen'])
  const reader = new DatabaseSync(file)
  expect(
    reader
      .prepare('select sealed_ms is not null as sealed, filter is not null as filtered, rows from onefold_generation')
      .all()
      .map((row) => ({ ...row })),
  ).toEqual([
    { sealed: 1, filtered: 1, rows: 1 },
    { sealed: 0, filtered: 0, rows: 1 },
  ])
  reader.close()
  await database.close()
})
