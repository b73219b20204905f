import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { TmpfsDisk } from '../test/support/tmpfs-disk.ts'
import { attaching, whyNoStrace } from '../test/support/torture-system-calls.ts'
import { PowerCutDisk } from './disks.ts'
import type { FaultKind } from './fault-kinds.ts'

export interface Skip {
  readonly kind: FaultKind
  readonly reason: string
  /** program: can be installed · machine: this user, or this kernel, may not. */
  readonly missing: 'program' | 'machine'
}

/** What cannot be done here, and why. Every fault that is not named has been tried, if it needs more than a signal. */
export async function cannotDo(kinds: readonly FaultKind[], scratch: string, noMounts: string | undefined): Promise<Skip[]> {
  if (process.platform !== 'linux') {
    return kinds
      .filter((kind) => kind !== 'clock-jump' && !kind.startsWith('kill'))
      .map((kind) => ({ kind, reason: 'only tried on Linux', missing: 'machine' }))
  }
  const skips: Skip[] = []
  const skip = (kind: FaultKind, found: Omit<Skip, 'kind'> | undefined): void => {
    if (kinds.includes(kind) && found !== undefined) skips.push({ kind, ...found })
  }
  const tracing = await whyNoTracing(scratch)
  skip('kill-at-system-call', tracing)
  skip('system-call-error', tracing)
  skip('full-disk', noMounts === undefined ? whyNoTmpfs(scratch) : { reason: noMounts, missing: 'machine' })
  if (kinds.includes('power-cut'))
    skip('power-cut', noMounts === undefined ? await whyNoPowerCut(scratch) : { reason: noMounts, missing: 'machine' })
  return skips
}

async function whyNoTracing(scratch: string): Promise<Omit<Skip, 'kind'> | undefined> {
  const reason = whyNoStrace()
  if (reason !== undefined) return { reason, missing: reason === 'strace is not installed' ? 'program' : 'machine' }
  const victim = spawn('sleep', ['20'])
  const tracer = spawn(
    'strace',
    attaching(victim.pid ?? 0, join(scratch, 'probe.strace'), { call: 'write', first: 1, effect: 'error=EIO' }),
  )
  let said = ''
  tracer.stderr.on('data', (chunk) => {
    said += chunk
    if (said.includes('attached')) tracer.kill('SIGTERM')
  })
  await once(tracer, 'close')
  victim.kill('SIGKILL')
  return said.includes('attached')
    ? undefined
    : { reason: `strace cannot attach to a process: ${said.trim()}`, missing: 'machine' }
}

function whyNoTmpfs(scratch: string): Omit<Skip, 'kind'> | undefined {
  const folder = join(scratch, 'probe-tmpfs')
  mkdirSync(folder)
  const disk = TmpfsDisk.mount(folder, 1)
  if (typeof disk === 'string') return { reason: disk, missing: 'machine' }
  disk.unmount()
  return undefined
}

/** Cuts a small disk: what was flushed must be there afterwards, and what was not must not. */
async function whyNoPowerCut(scratch: string): Promise<Omit<Skip, 'kind'> | undefined> {
  const missing = PowerCutDisk.missingPrograms()
  if (missing.length > 0) return { reason: `not installed: ${missing.join(', ')}`, missing: 'program' }
  const image = join(PowerCutDisk.home(scratch), `onefold-torture-probe-${process.pid}.img`)
  try {
    const disk = await PowerCutDisk.make(join(scratch, 'probe-power-cut'), image, 32 * 2 ** 20)
    const [kept, lost] = [join(disk.folder, 'kept'), join(disk.folder, 'lost')]
    writeFileSync(kept, 'kept', { flush: true })
    const folder = openSync(disk.folder, 'r')
    fsyncSync(folder)
    closeSync(folder)
    writeFileSync(lost, 'lost')
    await disk.cut()
    await disk.restore()
    const honest = existsSync(kept) && !existsSync(lost)
    await disk.unmount()
    return honest ? undefined : { reason: 'a power cut keeps or loses the wrong things on this kernel', missing: 'machine' }
  } catch (error) {
    return { reason: (error as Error).message, missing: 'machine' }
  } finally {
    rmSync(image, { force: true })
  }
}
