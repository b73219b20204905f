import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const engine = fileURLToPath(new URL('./postgres.ts', import.meta.url))

/**
 * Whatever ends this process, even a kill: the PostgreSQL server in the folder ends as well, and the folder is removed. A pipe that
 * nobody holds any more tells of it. Answers how to call it off.
 */
export function stopAfterwards(folder: string): () => void {
  const script = 'cat; "$0" "$1" stop "$2"; rm -rf "$2"'
  const child = spawn('sh', ['-c', script, process.execPath, engine, folder], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  child.unref()
  return () => void child.kill()
}
