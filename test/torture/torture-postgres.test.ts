import { beforeAll, describe, expect, test } from 'vitest'
import { faultKinds } from '../../torture/fault-kinds.ts'
import { parseSettings } from '../../torture/settings.ts'
import type { TortureRun } from '../support/torture-command.ts'
import { expectClean, torture } from '../support/torture-command.ts'

describe('npm run torture on PostgreSQL, for a short while', () => {
  let run: TortureRun

  beforeAll(async () => {
    run = await torture('--engine', 'postgres', '--faults', '40', '--seed', '5')
    console.log(JSON.stringify(run.document.faultsByKind), `in ${run.document.seconds} s`)
  })

  test('nothing lost, nothing twice, order per key kept, no outcome left unknown', () => {
    expect(run.document).toMatchObject({ engine: 'postgres', skipped: [] })
    expectClean(run)
  })

  test.for(faultKinds.postgres)('%s took place', (kind) => {
    expect(run.document.faultsByKind[kind]).toBeGreaterThan(0)
  })
})

test('a server that answers COMMIT before it is on disk loses what was acknowledged when it crashes, and the command says so', async () => {
  const options = ['--engine', 'postgres', '--synchronous', 'NORMAL', '--only', 'server-crash', '--faults', '8', '--seed', '1']
  const { code, document } = await torture(...options)
  expect(document.faultsByKind).toEqual({ 'server-crash': document.faults })
  expect(document.lost).toBeGreaterThan(0)
  expect(code).toBe(1)
})

test('faults of a file are not those of a server', () => {
  expect(() => parseSettings(['--engine', 'postgres', '--only', 'power-cut'])).toThrow('--only is "power-cut"')
  expect(() => parseSettings(['--only', 'server-crash'])).toThrow('--only is "server-crash"')
})
