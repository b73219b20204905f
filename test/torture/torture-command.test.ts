import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { beforeAll, describe, expect, test } from 'vitest'
import { faultKinds } from '../../torture/fault-kinds.ts'
import { parseSettings, UsageError } from '../../torture/settings.ts'
import type { TortureRun } from '../support/torture-command.ts'
import { expectClean, startTorture, torture } from '../support/torture-command.ts'
import { temporaryFolder, until } from '../support/torture-process.ts'

/** Processes that work in the folder, and disks of the command. */
function leftOver(folder: string, pid: number | undefined): string[] {
  const read = (file: string): string => {
    try {
      return readFileSync(file, 'utf8')
    } catch {
      return ''
    }
  }
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && read(`/proc/${name}/cmdline`).includes(folder))
  const disks = readdirSync('/sys/block').filter((name) =>
    read(`/sys/block/${name}/loop/backing_file`).includes(`onefold-torture-${pid}-`),
  )
  return [...processes.map((name) => `process ${name}`), ...disks, ...readdirSync(folder)]
}

describe('npm run torture, for a short while', () => {
  let run: TortureRun

  beforeAll(async () => {
    run = await torture('--engine', 'sqlite', '--faults', '70', '--seed', '11')
    console.log(JSON.stringify(run.document.faultsByKind), `in ${run.document.seconds} s`)
  })

  test('nothing lost, nothing twice, order per key kept, no outcome left unknown', () => {
    expectClean(run)
  })

  test.for(faultKinds.sqlite)('%s took place', (kind, context) => {
    const skipped = run.document.skipped.find((skip) => skip.kind === kind)
    // Programs must be there where .ci/run can install them; what the kernel, or this user, may not do is another matter.
    if (skipped !== undefined && (skipped.missing === 'machine' || process.getuid?.() !== 0)) return context.skip(skipped.reason)
    expect(skipped).toBeUndefined()
    expect(run.document.faultsByKind[kind]).toBeGreaterThan(0)
  })
})

test('with synchronous NORMAL a power cut does lose what was acknowledged, and the command says so', async (context) => {
  const { code, document } = await torture('--synchronous', 'NORMAL', '--only', 'power-cut', '--faults', '6', '--seed', '1')
  const skipped = document.skipped.find((skip) => skip.kind === 'power-cut')
  if (skipped !== undefined && (skipped.missing === 'machine' || process.getuid?.() !== 0)) {
    expect(code).toBe(1)
    return context.skip(skipped.reason)
  }
  expect(document.faultsByKind).toEqual({ 'power-cut': document.faults })
  expect(document.lost).toBeGreaterThan(0)
  expect(code).toBe(1)
})

test('interrupted: ends its processes, and takes its disks and files away', async () => {
  const folder = temporaryFolder()
  const command = startTorture(folder, '--minutes', '5', '--seed', '2')
  await until(
    () => leftOver(folder, command.pid).filter((each) => each.startsWith('process')).length > 5,
    () => 'its workers run',
    30_000,
  )
  command.kill('SIGINT')
  const [code] = (await once(command, 'close')) as [number]
  expect(code).toBe(130)
  expect(leftOver(folder, command.pid)).toEqual([])
})

test.for([
  ['--engine', 'oracle'],
  ['--faults', '0'],
  ['--minutes', 'long'],
  ['--synchronous', 'OFF'],
  ['--only', 'kill,flood'],
  ['--fautls', '3'],
])('%s %s is refused, by its name', (args) => {
  expect(() => parseSettings(args)).toThrow(UsageError)
  expect(() => parseSettings(args)).toThrow(args[0])
})
