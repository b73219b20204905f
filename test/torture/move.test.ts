import { afterAll, expect, test } from 'vitest'
import { movePoints } from '../../src/points.ts'
import { goesOnAfterMove } from '../support/move-audit.ts'
import { moveProcess } from '../support/move-process.ts'
import { moveScene } from '../support/move-scene.ts'
import { temporaryPostgres } from '../support/postgres.ts'
import type { Halt } from '../support/torture-halt.ts'
import { endWorkers, Worker } from '../support/worker-process.ts'

afterAll(endWorkers)

/** Those that a move passes which is not given up. */
const passed = movePoints.filter((point) => point !== 'move:giving-up' && point !== 'move:thrown-away')

test('a move whose process is killed at every step, again and again, is finished by the next one, and nothing is lost or repeated', async () => {
  const scene = await moveScene()
  const { pool, url } = await temporaryPostgres()
  const killedAt = new Set<string>()
  /** Answers false when it came to its end instead. */
  const killed = async (what: 'move' | 'activate', halt: Halt): Promise<boolean> => {
    const worker = new Worker(moveProcess, { file: scene.file, url, what, halt })
    const { code, signal } = await worker.ended
    if (signal !== 'SIGKILL') {
      expect([code, worker.stderr, worker.lines]).toEqual([0, '', [what === 'move' ? 'copied' : 'activated']])
      return false
    }
    killedAt.add(halt.at)
    return true
  }
  const kill = (at: Halt['at'], pass: number): Halt => ({ at, pass, signal: 'SIGKILL' })
  expect(await killed('move', kill('move:reserved', 1))).toBe(true)
  expect(await killed('move', kill('move:sealed', 1))).toBe(true)
  // Within a transaction, and after one: each gets a few pages further.
  let kills = 0
  for (const pass of [1, 3, 1, 2]) {
    expect(await killed('move', kill('move:copying', pass))).toBe(true)
    expect(await killed('move', kill('move:copied', pass))).toBe(true)
  }
  while (await killed('move', kill(kills++ % 2 === 0 ? 'move:copying' : 'move:copied', 9))) expect(kills).toBeLessThan(40)
  expect(await killed('move', kill('move:finished', 1))).toBe(true)
  await goesOnAfterMove(scene, pool, async () => {
    expect(await killed('activate', kill('move:final', 1))).toBe(true)
    expect(await killed('activate', kill('move:activated', 1))).toBe(true)
    expect(await killed('activate', kill('move:activated', 2))).toBe(false)
  })
  expect(killedAt).toEqual(new Set(passed))
  scene.reader.close()
})
