import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { freePort } from '../../scripts/engines/free-port.ts'
import { until } from './until.ts'

/** Undefined: it is there. */
export const pgbouncerMissing: string | undefined =
  spawnSync('pgbouncer', ['--version']).error === undefined ? undefined : 'pgbouncer is not installed (apt-get install pgbouncer)'

/** A pooler in transaction mode in front of the database, for the running test. Answers its URL. */
export async function pgbouncer(url: string): Promise<string> {
  const target = new URL(url)
  const folder = mkdtempSync(join(tmpdir(), 'onefold-pgbouncer-'))
  const port = await freePort()
  const name = target.pathname.slice(1)
  writeFileSync(
    join(folder, 'pgbouncer.ini'),
    `[databases]
${name} = host=${target.hostname} port=${target.port} user=${target.username} dbname=${name}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
ignore_startup_parameters = extra_float_digits
`,
  )
  // It refuses to run as root.
  const asRoot = process.getuid?.() === 0
  if (asRoot) {
    const id = (flag: string): number => Number(spawnSync('id', [flag, 'postgres'], { encoding: 'utf8' }).stdout)
    chownSync(folder, id('-u'), id('-g'))
    chmodSync(folder, 0o755)
  }
  const command = ['pgbouncer', join(folder, 'pgbouncer.ini')]
  const child = asRoot
    ? spawn('runuser', ['-u', 'postgres', '--', ...command], { stdio: 'ignore' })
    : spawn(command[0] as string, command.slice(1), { stdio: 'ignore' })
  onTestFinished(async () => {
    child.kill('SIGTERM')
    if (child.exitCode === null && child.signalCode === null) await new Promise((resolve) => child.once('exit', resolve))
    rmSync(folder, { recursive: true, force: true })
  })
  await until(() => answers(port), 'the pooler answers', 10_000)
  target.port = String(port)
  target.hostname = '127.0.0.1'
  return target.href
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
