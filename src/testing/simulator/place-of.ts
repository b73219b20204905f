/** Onefold's own files: a place there says nothing to a user. */
const own = pathOf(new URL('../..', import.meta.url).href)

/**
 * The first line of a stack that is the user's: `app.ts:12`, and nothing when there is none. Node names files by URL, test
 * runners that transform them by path.
 */
export function placeOf(error: Error): string | undefined {
  for (const frame of error.stack?.split('\n').slice(1) ?? []) {
    const found = /(?:\(|at (?:async )?)((?:file:|\/|[A-Za-z]:[\\/]).*?):(\d+):\d+\)?$/.exec(frame)
    if (found === null) continue
    const file = pathOf(found[1] as string)
    if (!file.startsWith(own) && !file.includes('/node_modules/')) return `${file.split('/').at(-1)}:${found[2]}`
  }
  return undefined
}

/** With slashes, and without what a loader puts behind the name to have it loaded again. */
function pathOf(file: string): string {
  const path = file.replaceAll('\\', '/').replace(/\?.*$/, '')
  return path.startsWith('file:') ? decodeURIComponent(path.replace(/^file:\/\/(?:\/(?=[A-Za-z]:\/))?/, '')) : path
}
