import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { placeOf, readWorkerState, WorkerState } from '../../demo/worker-state.ts'

describe('what a worker leaves behind about itself', () => {
  let dir = ''
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'onefold-test-'))
  })
  afterAll(() => rmSync(dir, { recursive: true }))

  test('the file says at every moment where it is: in hand, inside a transaction, committed, acknowledged', () => {
    const file = join(dir, 'a')
    const state = new WorkerState(file)
    const at = (point: string) => {
      state.reached(point)
      return placeOf(readWorkerState(file))
    }
    expect(readWorkerState(file)).toMatchObject({ point: '', busy: false })
    expect(placeOf(readWorkerState(file))).toBe('idle')
    expect(at('consume:received')).toBe('elsewhere-at-work')
    expect(at('consume:begun')).toBe('inside-transaction')
    expect(at('consume:applied')).toBe('inside-transaction')
    expect(at('commit:before'), 'killed from outside now, it may or may not have committed').toBe('elsewhere-at-work')
    expect(at('consume:committed')).toBe('after-commit')
    expect(at('consume:settled')).toBe('idle')
    state.close()
  })

  test('asked to die at a point, a process dies there by SIGKILL after so many passes, and not one instruction later', () => {
    const file = join(dir, 'b')
    const script = `
      const { WorkerState } = await import(${JSON.stringify(join(import.meta.dirname, '../../demo/worker-state.ts'))})
      const state = new WorkerState(${JSON.stringify(file)})
      state.dieAt('consume:committed', 2)
      for (let pass = 0; pass < 9; pass++) { state.handled(); state.reached('consume:begun'); state.reached('consume:committed') }
    `
    const child = spawnSync(process.execPath, ['--input-type=module', '--eval', script])
    expect(child.signal).toBe('SIGKILL')
    expect(readWorkerState(file)).toMatchObject({ point: 'consume:committed', killedItself: true, handled: 3 })
  })

  test('no file content, no claim', () => {
    expect(() => readWorkerState(join(dir, 'none'))).toThrow()
  })
})
