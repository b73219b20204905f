import { execFile } from 'node:child_process'

/** Resolves when it has ended well; rejects with what it said. Statuses up to `worst` count as well. */
export function runProgram(file: string, args: readonly string[], worst = 0): Promise<void> {
  return new Promise((resolve, reject) => {
    // Not everybody who is root has these in the path.
    const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` }
    execFile(file, args, { env }, (error, _stdout, stderr) => {
      if (error === null || (typeof error.code === 'number' && error.code <= worst)) resolve()
      else reject(new Error(`${file} ${args.join(' ')}: ${stderr.trim() || error.message}`))
    })
  })
}
