import { expect, test } from 'vitest'
import { activate, move } from '../../src/move/move.ts'
import { movedTables } from '../../src/move/move-store.ts'
import { goesOnAfterMove } from '../support/move-audit.ts'
import { endsOf, moveScene } from '../support/move-scene.ts'
import { temporaryPostgres } from '../support/postgres.ts'

test('a file with everything in it is moved, and the program goes on exactly where it was', { timeout: 60_000 }, async () => {
  const scene = await moveScene()
  const { pool } = await temporaryPostgres()
  const ends = await endsOf(scene.file, pool)
  const steps: string[] = []
  const moved = await move(ends, { limits: { rows: 7, bytes: 2_000 }, onStep: (step) => steps.push(step) })
  expect(moved.tables.map(({ table, same }) => [table, same])).toEqual(movedTables.map(({ name }) => [name, true]))
  // Nothing of what is kept was left out of this test.
  expect(moved.tables.filter(({ source }) => source.rows === 0).map(({ table }) => table)).toEqual([])
  expect(steps[0]).toBe('seal')

  await goesOnAfterMove(scene, pool, () => activate(ends))
  ends.close()
  scene.reader.close()
})
