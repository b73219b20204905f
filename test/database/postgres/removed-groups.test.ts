import { expect, test } from 'vitest'
import { PostgresWindows, subscription } from '../../support/postgres-windows.ts'
import { published } from '../../support/window-database.ts'

const declare = (process: PostgresWindows) =>
  process.write((session) => session.groups.declare(subscription, { startFrom: 'earliest', semantics: 's' }))
const advance = (process: PostgresWindows) =>
  process.write((session) => session.checkpoints.advance(subscription, '0', { offset: 1n, applied: 1, suppressed: 0 }))
test('a group that was removed and declared again is used by the process that did so', async () => {
  const process = await PostgresWindows.open()
  await advance(process)
  await process.write((session) => session.groups.remove(subscription))
  await declare(process)
  await advance(process)
})

test('and by another that knew it before: its checkpoints, and its inbox, which remembers nothing of the old one', async () => {
  const process = await PostgresWindows.open()
  const other = await PostgresWindows.open({ of: process })
  await advance(other)
  await other.claim(published('a', 1))
  await process.write((session) => session.groups.remove(subscription))
  await declare(process)
  await advance(other)
  expect(await other.claim(published('a', 1))).toEqual(['new'])
})

test('and by one whose transaction was open while it was removed, and only then commits what it knew', async () => {
  const process = await PostgresWindows.open()
  const other = await PostgresWindows.open({ of: process })
  await process.write((session) => session.groups.countFenced(subscription))
  await other.write(async (session) => {
    expect(await session.checkpoints.get(subscription, '0')).toBeUndefined()
    await process.write((removing) => removing.groups.remove(subscription))
    // Another transaction of its own sees that something was removed.
    await declare(other)
  })
  await advance(other)
})
