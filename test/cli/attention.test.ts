import { copyFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { sqlite } from '../../src/database/sqlite/index.ts'
import { CallUnknown, call, onefold, TerminalError, topic } from '../../src/index.ts'
import type { Json } from './run-onefold.ts'
import { Place } from './run-onefold.ts'

interface Order {
  readonly id: string
  readonly email: string
}

const orders = topic<Order>('orders', { partitions: 1, id: (order) => order.id })

/** `unknown`: its charge may have happened. `d0` to `d2`: dead letters. `mailed`: one whose mail happened. */
const prepared = prepareTrouble()

async function prepareTrouble(): Promise<Place> {
  const place = new Place()
  const app = onefold({ database: sqlite(place.path('onefold.db')) })
  app.consume(orders, {
    group: 'ship',
    maxAttempts: 1,
    calls: {
      charge: call(
        ({ id }: Order) => {
          if (id === 'unknown') throw new CallUnknown('connection lost')
          return { id: 'ch_1' }
        },
        { whenUnknown: 'ask-person', when: ({ id }) => id === 'unknown' || id === 'mailed' },
      ),
    },
    apply: ({ id }: Order) => {
      throw id === 'mailed' ? new TypeError('mailed') : new TerminalError('no such product')
    },
  })
  await app.publishMany(
    orders,
    ['unknown', 'd0', 'd1', 'd2', 'mailed'].map((id) => ({ data: { id, email: 'jo@example.org' } })),
  )
  await app.start()
  await app.idle()
  await app.stop()
  return place
}

async function placeWithTrouble() {
  const place = new Place()
  copyFileSync((await prepared).path('onefold.db'), place.path('onefold.db'))
  const { items } = (await place.json('attention')).document
  const idOf = (message: string): string => items.find((item: Json) => item.message.id === message).id
  return { place, idOf }
}

const oneLine = (text: string): string => text.replace(/\s+/g, ' ')

describe.concurrent('onefold attention', () => {
  test('list groups by what failed, names the kind and the fingerprint, and filters', async () => {
    const { place } = await placeWithTrouble()
    const { stdout } = await place.onefold('attention')
    expect(stdout).toMatch(
      /^3 dead letters of orders in group ship: TerminalError: no such product\n {2}fingerprint [0-9a-f]{12}\n/,
    )
    expect(stdout).toMatch(/1 unknown outcome of orders in group ship: .*connection lost\n {2}fingerprint charge-[0-9a-f]{12}\n/)
    const { groups, items } = (await place.json('attention list --kind unknown-outcome')).document
    expect(groups).toMatchObject([{ kind: 'unknown-outcome', count: 1 }])
    expect(items).toHaveLength(1)
  })

  test('show tells about calls, masks what the data says, and --reveal does not', async () => {
    const { place, idOf } = await placeWithTrouble()
    const id = idOf('unknown')
    const shown = (await place.onefold(`attention show ${id}`)).stdout
    expect(shown).toContain('"email": "***"')
    expect(shown).not.toContain('jo@example.org')
    expect(shown).toMatch(/charge, round 1: unknown\n {4}rule {4}when unknown: ask-person\n/)
    expect(oneLine(shown)).toMatch(/by process \d+ on \S+, which is (alive|gone) token [0-9a-f]{32}/)
    expect(oneLine(shown)).toContain(`onefold attention redrive ${id} Refused: Call charge may have happened`)
    expect(oneLine(shown)).toContain(
      `onefold attention settle ${id} --call charge --as happened --result JSON --by NAME Call charge is never made again`,
    )
    expect((await place.onefold(`attention show ${id} --reveal`)).stdout).toContain('jo@example.org')

    const mailed = (await place.json(`attention show ${idOf('mailed')}`)).document
    expect(mailed).toMatchObject({
      masked: true,
      message: { data: { email: '***' } },
      failedAttempts: [{ attempt: 1, error: { message: 'mailed' } }],
      calls: [{ name: 'charge', round: 1, state: 'happened', result: { id: '***' } }],
      actions: {
        redrive: { possible: true, calls: [{ call: 'charge', fate: 'stands' }] },
        discard: { confirm: { option: 'callsStand' } },
      },
    })
    expect((await place.json(`attention show ${idOf('mailed')} --reveal`)).document.calls[0].result).toEqual({ id: 'ch_1' })
  })

  test('settle: with a result from a file; a second time changes nothing; it is shown with who and why', async () => {
    const { place, idOf } = await placeWithTrouble()
    const id = idOf('unknown')
    place.write('answer.json', '{"id":"ch_2"}')
    const settle = [
      'attention',
      'settle',
      id,
      '--as',
      'happened',
      '--result',
      '@answer.json',
      '--by',
      'mia',
      '--reason',
      'asked the bank',
    ]
    expect(await place.onefold(settle)).toMatchObject({ code: 0, stdout: `${id}: done\n` })
    expect(await place.json(settle)).toMatchObject({
      code: 0,
      document: { action: 'settle', id, result: 'already', state: 'settled' },
    })
    const { document } = await place.json(`attention show ${id} --reveal`)
    expect(document).toMatchObject({
      state: 'settled',
      calls: [{ state: 'happened', settledBy: 'mia', result: { id: 'ch_2' } }],
      audit: [{ action: 'settle', by: 'mia', reason: 'asked the bank', details: { call: 'charge', round: 1, as: 'happened' } }],
    })
    expect(await place.onefold(`attention settle ${idOf('d0')} --as happened --by mia`)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/No call of this message has an unknown outcome[\s\S]*code NOT_POSSIBLE/),
    })
  })

  test('what is refused is said for its id, the others are done; exit code 1', async () => {
    const { place, idOf } = await placeWithTrouble()
    const ended = await place.onefold(`attention redrive ${idOf('d0')} ${idOf('unknown')}`)
    expect(ended.code).toBe(1)
    expect(ended.stdout).toContain(`${idOf('d0')}: done\n`)
    expect(ended.stdout).toContain(`${idOf('unknown')}: refused: redrive ${idOf('unknown')}: Call charge may have happened`)
    const discard = ['attention', 'discard', idOf('mailed'), '--reason', 'x', '--by', 'mia']
    expect(await place.json(discard)).toMatchObject({
      code: 1,
      document: { results: [{ result: 'refused', message: expect.stringContaining('--calls-stand') }] },
    })
    expect(await place.onefold([...discard, '--calls-stand'])).toMatchObject({ code: 0 })
  })

  test('edit takes JSON from a file or from stdin, and shows what changed', async () => {
    const { place, idOf } = await placeWithTrouble()
    place.write('fixed.json', '{"id":"d0","email":"max@example.org"}')
    expect(await place.onefold(`attention edit ${idOf('d0')} fixed.json --by mia`)).toMatchObject({
      code: 0,
      stdout: `${idOf('d0')}: done\n`,
    })
    const shown = (await place.onefold(`attention show ${idOf('d0')} --reveal`)).stdout
    expect(shown).toContain('~ email: "jo@example.org" → "max@example.org"')
    expect((await place.onefold(`attention show ${idOf('d0')}`)).stdout).toContain('~ email: "***" → "***"')
    expect(await place.onefold(`attention edit ${idOf('d1')} - --by mia`, { input: '{"id":"d1"}' })).toMatchObject({ code: 0 })
    expect(await place.onefold(`attention edit ${idOf('d2')} - --by mia`, { input: '{"id"' })).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/stdin is not JSON[\s\S]*code MESSAGE_INVALID/),
    })
    expect(await place.onefold(`attention edit ${idOf('d2')} missing.json --by mia`)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('there is no such file'),
    })
  })

  test('--all shows what it would do and does nothing, until somebody says how many, or yes', async () => {
    const { place } = await placeWithTrouble()
    const looked = await place.onefold('attention redrive --all')
    expect(looked.code).toBe(1)
    expect(looked.stdout).toMatch(/^redrive: 5 messages, 1 of them would be refused\n/)
    expect(oneLine(looked.stdout)).toMatch(/1 refused, such as a\d+: Call charge may have happened/)
    expect(looked.stderr).toContain('nothing was done; add --expect 5')
    expect((await place.json('attention')).document.items).toHaveLength(5)
    const { fingerprint } = (await place.json('attention')).document.groups[0]
    const some = `attention redrive --fingerprint ${fingerprint} --all`
    expect(await place.onefold(`${some} --expect 2`)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('3 open items match now, more than the 2'),
    })
    expect(await place.json(some)).toMatchObject({ code: 1, document: { done: false, preview: { count: 3 } } })
    expect(await place.json(`${some} --expect 3`)).toMatchObject({
      code: 0,
      document: { action: 'redrive', preview: { count: 3, refused: 0 }, result: { done: 3, already: 0, refused: 0 } },
    })
    const rest = await place.onefold('attention redrive --all --yes')
    expect(rest).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('1 done, 0 already acted on by somebody else, 1 refused\n'),
    })
    expect((await place.onefold('attention redrive --all --kind dead-letter')).stdout).toBe('nothing that is open matches\n')
    expect(
      await place.json(['attention', 'discard', '--all', '--yes', '--calls-stand', '--reason', 'test data', '--by', 'mia']),
    ).toMatchObject({
      code: 0,
      document: { result: { done: 1 } },
    })
  })
})
