import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { TmpfsDisk } from '../test/support/tmpfs-disk.ts'
import { runProgram } from './run-program.ts'

const gibibyte = 2 ** 30

/** EXT4_IOC_SHUTDOWN (0x8004587d) with NOLOGFLUSH (2): from here on nothing reaches the disk, not even the journal that is in memory. */
const shutDown: readonly (readonly [program: string, ...args: string[]])[] = [
  [
    '/usr/bin/perl',
    '-e',
    'open(F, "<", $ARGV[0]) or die "open: $!"; my $how = pack("L", 2); ioctl(F, 0x8004587d, $how) or die "ioctl: $!"',
  ],
  [
    '/usr/bin/python3',
    '-c',
    'import fcntl,os,struct,sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack("I", 2))',
  ],
]

/** An ext4 file system in a file, which can lose all that was not flushed. */
export class PowerCutDisk {
  readonly folder: string
  readonly #image: string

  /** Programs that must be there. */
  static missingPrograms(): string[] {
    const paths = ['/usr/sbin', '/sbin', '/usr/bin', '/bin']
    const missing = ['mkfs.ext4', 'e2fsck', 'mount', 'umount'].filter(
      (name) => !paths.some((path) => existsSync(join(path, name))),
    )
    return shutDown.some(([program]) => existsSync(program)) ? missing : [...missing, 'perl or python3']
  }

  /** Where images are kept: in memory where there is room, for then a flush costs little, and forgets as much. */
  static home(fallback: string): string {
    const shm = '/dev/shm'
    if (!existsSync(shm)) return fallback
    const { bavail, bsize } = statfsSync(shm)
    return bavail * bsize > 2 * gibibyte ? shm : fallback
  }

  static async make(folder: string, image: string, bytes = 4 * gibibyte): Promise<PowerCutDisk> {
    const file = openSync(image, 'w')
    ftruncateSync(file, bytes)
    closeSync(file)
    mkdirSync(folder, { recursive: true })
    await runProgram('mkfs.ext4', ['-q', '-F', '-J', 'size=4', image])
    const disk = new PowerCutDisk(folder, image)
    await disk.#mount()
    return disk
  }

  private constructor(folder: string, image: string) {
    this.folder = folder
    this.#image = image
  }

  /** The power goes. Every process on it must be frozen, and is to be killed. */
  async cut(): Promise<void> {
    const [program, ...args] = shutDown.find(([each]) => existsSync(each)) ?? ['perl']
    await runProgram(program, [...args, this.folder])
  }

  /** The power is back: every process on it has ended. */
  async restore(): Promise<void> {
    await this.unmount()
    // 1: errors were corrected.
    await runProgram('e2fsck', ['-p', this.#image], 1)
    await this.#mount()
  }

  async unmount(): Promise<void> {
    for (let left = 50; ; left--) {
      try {
        return await runProgram('umount', [this.folder])
      } catch (error) {
        if (left === 0) throw error
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    }
  }

  async #mount(): Promise<void> {
    await runProgram('mount', ['-o', 'loop', this.#image, this.folder])
  }
}

const mebibyte = 2 ** 20

/** A disk that is filled now and then, and grows in between, so that only we fill it. */
export class FillingDisk {
  readonly folder: string
  readonly #disk: TmpfsDisk
  #mebibytes = 64

  static mount(folder: string): FillingDisk {
    mkdirSync(folder, { recursive: true })
    const disk = TmpfsDisk.mount(folder, 64)
    if (typeof disk === 'string') throw new Error(disk)
    return new FillingDisk(disk)
  }

  private constructor(disk: TmpfsDisk) {
    this.#disk = disk
    this.folder = disk.folder
  }

  async fill(leaving: number): Promise<void> {
    const { blocks, bavail, bsize } = statfsSync(this.folder)
    if (bavail < blocks / 2) {
      this.#mebibytes = Math.ceil((2 * blocks * bsize) / mebibyte)
      await runProgram('mount', ['-o', `remount,size=${this.#mebibytes}m`, this.folder])
    }
    try {
      this.#disk.fill(leaving)
    } catch (error) {
      // Somebody else was quicker: it is full.
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    }
  }

  free(): void {
    this.#disk.free()
  }

  unmount(): void {
    this.#disk.unmount()
  }
}
