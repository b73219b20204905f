import { describe, expect, test } from 'vitest'
import type { AttentionKind } from '../../../src/attention/attention-store.ts'
import type { Session } from '../../../src/database/database.ts'
import { sqlite } from '../../../src/database/sqlite/index.ts'
import { TemporaryFile } from '../../support/temporary.ts'

const subscription = { topic: 'orders', group: 'ship' }
const reason = (kind: AttentionKind, fingerprint: string) => ({
  kind,
  fingerprint,
  errorName: 'Error',
  errorMessage: `of ${fingerprint}`,
  errorStack: '',
})

/** Items a1 (key a, with a2 behind it), and one of another kind (key b). */
async function subject() {
  const file = new TemporaryFile()
  const database = sqlite(file.path)
  const app = file.app({ database })
  await app.attention.list()
  const write = <R>(work: (session: Session<unknown>) => R) =>
    database.write(work as never, { what: 'test' }) as Promise<Awaited<R>>
  const message = (id: string, key: string) => ({
    envelope: { id, source: 's', key, type: 'orders', timeMs: 1, headers: {}, json: `{"id":"${id}"}` },
    attempts: 3,
    crashes: 1,
    dueMs: 0,
    lane: key,
  })
  await write(async (session) => {
    await session.groups.declare(subscription, { startFrom: 'earliest', semantics: 'effectively-once' })
    const failures = [1, 2].map((attempt) => ({
      attempt,
      atMs: attempt,
      errorName: 'Error',
      errorMessage: `${attempt}`,
      errorStack: '',
    }))
    await session.parked.park(
      subscription,
      '0',
      [
        { ...message('one', 'a'), state: 'attention', reason: reason('dead-letter', 'f1'), failures },
        { ...message('two', 'a'), state: 'behind' },
        { ...message('three', 'b'), state: 'attention', reason: reason('late-message', 'f2') },
      ],
      100,
    )
  })
  const parked = () =>
    file
      .rows('select id, state, due_ms, attempts, crashes from onefold_parked order by parked')
      .map((row) => Object.values(row).join(' '))
  return { file, write, parked }
}

describe('the attention store on SQLite', () => {
  test('of several who close an item one does, whatever they close it as', async () => {
    const closings: ((session: Session<unknown>) => unknown)[] = [
      (session) => session.attention.redrive('a1', 'mia', 200),
      (session) => session.attention.discard('a1', 'mia', 'why', 200),
      (session) => session.attention.settle('a1', 'go-on', 'mia', undefined, 200),
      (session) => session.attention.settle('a1', 'put-aside', 'mia', undefined, 200),
    ]
    for (const first of closings) {
      const { write } = await subject()
      expect(await write(first)).toBe(true)
      for (const next of closings) expect(await write(next)).toBe(false)
    }
  })

  test('redrive and settle make the message due, discard and put aside take it away and let the next go', async () => {
    const redriven = await subject()
    await redriven.write((session) => session.attention.redrive('a1', undefined, 200))
    expect(redriven.parked()).toEqual(['one waiting 200 0 0', 'two behind 0 3 1', 'three attention 0 3 1'])
    const settled = await subject()
    await settled.write((session) => session.attention.settle('a1', 'go-on', 'mia', undefined, 200))
    expect(settled.parked()).toEqual(['one waiting 200 0 0', 'two behind 0 3 1', 'three attention 0 3 1'])
    for (const close of [
      (session: Session<unknown>) => session.attention.discard('a1', 'mia', 'why', 200),
      (session: Session<unknown>) => session.attention.settle('a1', 'put-aside', 'mia', undefined, 200),
    ]) {
      const removed = await subject()
      await removed.write(close)
      expect(removed.parked()).toEqual(['two waiting 200 3 1', 'three attention 0 3 1'])
    }
  })

  test('a revision keeps both bodies and changes nothing but the data', async () => {
    const { write, file } = await subject()
    expect(
      await write((session) => session.attention.revise('a1', { by: 'mia', reason: 'typo', atMs: 7, after: '{"id":1}' })),
    ).toBe(true)
    expect(file.rows('select source, id, key, data from onefold_parked where parked = 1')).toEqual([
      { source: 's', id: 'one', key: 'a', data: '{"id":1}' },
    ])
    expect(await write((session) => session.attention.revisions('a1'))).toEqual([
      { by: 'mia', reason: 'typo', atMs: 7, before: '{"id":"one"}', after: '{"id":1}' },
    ])
    await write((session) => session.attention.discard('a1', 'mia', 'why', 200))
    expect(await write((session) => session.attention.revise('a1', { by: 'max', reason: undefined, atMs: 8, after: '{}' }))).toBe(
      false,
    )
    expect(await write((session) => session.attention.revisions('a1'))).toHaveLength(1)
  })

  test('keeps failed attempts with an item that is done with, and the record of who did what', async () => {
    const { write } = await subject()
    await write((session) => session.attention.discard('a1', 'mia', 'why', 200))
    const entry = { action: 'discard', by: 'mia', reason: 'why', atMs: 200, details: undefined } as const
    await write((session) => session.attention.record('a1', entry))
    expect(await write((session) => session.attention.audit('a1'))).toEqual([entry])
    expect((await write((session) => session.attention.failedAttempts('a1'))).map(({ errorMessage }) => errorMessage)).toEqual([
      '1',
      '2',
    ])
    expect(await write((session) => session.attention.audit('a2'))).toEqual([])
  })

  test('lists, counts and finds; ids have no bound of their own', async () => {
    const { write } = await subject()
    const ids = (filter: object) => write((session) => session.attention.ids(filter))
    expect(await ids({})).toEqual(['a1', 'a2'])
    expect(await ids({ limit: 1 })).toEqual(['a1'])
    expect(await ids({ kind: 'late-message' })).toEqual(['a2'])
    expect(await ids({ topic: 'orders', group: 'ship', key: 'a', fingerprint: 'f1' })).toEqual(['a1'])
    expect(await ids({ topic: 'other' })).toEqual([])
    await write((session) => session.attention.redrive('a1', undefined, 200))
    expect(await ids({})).toEqual(['a2'])
    expect(await ids({ state: 'all' })).toEqual(['a1', 'a2'])
    expect(await write((session) => session.attention.groups({ state: 'all' }))).toEqual([
      expect.objectContaining({
        fingerprint: 'f2',
        kind: 'late-message',
        count: 1,
        newestId: 'a2',
        errorMessage: 'of f2',
        oldestMs: 100,
      }),
      expect.objectContaining({ fingerprint: 'f1', kind: 'dead-letter', topic: 'orders', group: 'ship' }),
    ])
    const openOf = (id: string) => write((session) => session.attention.openOf(subscription, { source: 's', id }))
    expect(await openOf('three')).toMatchObject({ id: 'a2', kind: 'late-message' })
    expect(await openOf('one')).toBeUndefined()
    expect(await openOf('two')).toBeUndefined()
  })
})
