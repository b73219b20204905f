import { expect, test } from 'vitest'
import { SuspectLock } from '../../src/consume/suspect-lock.ts'

/** Work that says when it begins and ends, and ends when it is told to. */
function recorder(lock: SuspectLock) {
  const said: string[] = []
  const work = (name: string) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const run = async (): Promise<string> => {
      said.push(`${name} begins`)
      await promise
      said.push(`${name} ends`)
      return name
    }
    return { run, end: resolve }
  }
  const start = (kind: 'ordinary' | 'suspect' | 'patient suspect', name: string) => {
    const { run, end } = work(name)
    const result = kind === 'ordinary' ? lock.share(run) : lock.alone(run, { stopsOthers: kind === 'suspect' })
    return { result, end }
  }
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve()
  }
  return { said, start, settle }
}

test('ordinary work runs side by side', async () => {
  const { said, start, settle } = recorder(new SuspectLock())
  const [a, b] = [start('ordinary', 'a'), start('ordinary', 'b')]
  await settle()
  expect(said).toEqual(['a begins', 'b begins'])
  a.end()
  b.end()
  expect(await Promise.all([a.result, b.result])).toEqual(['a', 'b'])
})

test('a suspect waits for the work that has begun, and later work and suspects wait for it', async () => {
  const { said, start, settle } = recorder(new SuspectLock())
  const before = start('ordinary', 'before')
  await settle()
  const suspect = start('suspect', 'suspect')
  await settle()
  const after = start('ordinary', 'after')
  const second = start('suspect', 'second')
  await settle()
  expect(said).toEqual(['before begins'])
  before.end()
  await settle()
  expect(said.splice(0)).toEqual(['before begins', 'before ends', 'suspect begins'])
  suspect.end()
  after.end()
  await settle()
  second.end()
  await Promise.all([suspect.result, after.result, second.result])
  expect(said).toHaveLength(5)
  expect(
    said.indexOf('after ends') < said.indexOf('second begins') || said.indexOf('second ends') < said.indexOf('after begins'),
  ).toBe(true)
})

test('a suspect that holds nobody up still runs apart from other suspects', async () => {
  const { said, start, settle } = recorder(new SuspectLock())
  const patient = start('patient suspect', 'patient')
  await settle()
  const [ordinary, suspect] = [start('ordinary', 'ordinary'), start('suspect', 'suspect')]
  await settle()
  expect(said).toEqual(['patient begins', 'ordinary begins'])
  ordinary.end()
  patient.end()
  suspect.end()
  await Promise.all([ordinary.result, patient.result, suspect.result])
  expect(said.at(-1)).toBe('suspect ends')
})

test('work that fails lets the next in', async () => {
  const lock = new SuspectLock()
  const fails = async (): Promise<never> => {
    throw new Error('no')
  }
  await expect(lock.alone(fails, { stopsOthers: true })).rejects.toThrow('no')
  await expect(lock.share(fails)).rejects.toThrow('no')
  expect(await lock.alone(async () => 1, { stopsOthers: true })).toBe(1)
  expect(await lock.share(async () => 2)).toBe(2)
})
