import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

const unshare = '/usr/bin/unshare'
const mark = 'ONEFOLD_TORTURE_MOUNTS'

/**
 * Goes on in a mount namespace of its own, where that can be had: what is mounted there nobody else sees, and it is gone with the
 * last process in it, however that ends. Answers why it cannot be had; does not return when it starts over inside.
 */
export function enterMountNamespace(program: string): string | undefined {
  if (process.env[mark] === 'own') return undefined
  const reason = whyNot()
  if (reason !== undefined || process.execve === undefined) return reason ?? 'this Node cannot replace itself'
  const args = ['unshare', '--mount', '--propagation', 'private', process.execPath, program, ...process.argv.slice(2)]
  return process.execve(unshare, args, { ...process.env, [mark]: 'own' })
}

function whyNot(): string | undefined {
  if (process.platform !== 'linux') return `mounts are made on Linux only, this is ${process.platform}`
  if (process.getuid?.() !== 0) return 'only root can mount'
  if (!existsSync(unshare)) return `${unshare} is not there`
  const { status, stderr } = spawnSync(unshare, ['--mount', '--propagation', 'private', 'true'], { encoding: 'utf8' })
  return status === 0 ? undefined : `a mount namespace cannot be had: ${stderr.trim()}`
}
