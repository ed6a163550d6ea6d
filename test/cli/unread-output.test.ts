import { describe, expect, test } from "bun:test";
import { constants, existsSync, openSync, readFileSync, readSync, writeFileSync } from "node:fs";
import { hangMs, restorerPath, skipUnless } from "../support/harness.ts";
import { have } from "../support/skip.ts";
import { type Scene, scene } from "./scene.ts";

/** More lines than a pipe or socket holds. */
const many = Array.from({ length: 4_000 }, (_, index) => `layer-${"n".repeat(80)}-${index}`);

function noisy(): Scene {
  return scene({ buildpacks: () => [{ id: "bp", layers: many.map((name) => ({ name, cache: false })) }] });
}

interface Started {
  readonly pid: number;
  readonly kill: (signal: NodeJS.Signals) => void;
  readonly exited: Promise<number>;
}

function start(made: Scene, stdout: number | "ignore", wrapper: readonly string[] = []): Started {
  return Bun.spawn([...wrapper, restorerPath(), "-layers", made.layers, "-cache-dir", made.cache.path], {
    env: { PATH: process.env.PATH, CNB_PLATFORM_API: "0.15", CNB_KANIKO_DIR: made.dir.join("kaniko") },
    stdin: "ignore",
    stdout,
    stderr: "ignore",
  });
}

/** Waits until the process listens to signals. */
async function listening({ pid, exited }: Started): Promise<void> {
  let hasEnded = false;
  void exited.then(() => {
    hasEnded = true;
  });
  const caught = () => BigInt(`0x${/^SigCgt:\s*(\w+)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]}`);
  while (!hasEnded && ((caught() >> 14n) & 1n) === 0n) await Bun.sleep(5);
}

/** A fifo that is open for reading, which nobody does. */
function fifo(made: Scene): { readonly reader: number; readonly writer: number } {
  const path = made.dir.join("fifo");
  Bun.spawnSync(["mkfifo", path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return { reader, writer: openSync(path, constants.O_WRONLY) };
}

/**
 * Becomes the program with a socket for stdout, which is full already where it shall be. A child copies what it holds to a file,
 * once the first file is there.
 */
const withSocket = `
  use Socket;
  use Fcntl;
  my ($isFull, $go, $to, @program) = @ARGV;
  socketpair(my $reader, my $writer, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die;
  if ($isFull eq "full") {
    my $flags = fcntl $writer, F_GETFL, 0;
    fcntl $writer, F_SETFL, $flags | O_NONBLOCK;
    1 while syswrite $writer, "x" x 1000;
    fcntl $writer, F_SETFL, $flags;
  }
  if (my $parent = $$ and fork) {
    open STDOUT, ">&", $writer or die;
    exec @program;
  } else {
    close $writer;
    select undef, undef, undef, 0.01 until -e $go or getppid != $parent;
    exit unless -e $go;
    open my $file, ">", "$to.part" or die;
    syswrite $file, $_ while sysread $reader, $_, 1000;
    rename "$to.part", $to;
  }
`;

/** The lines of layers that are not restored, by their names. */
function layersTold(text: string): (string | undefined)[] {
  const lines = text.split("\n").filter((line) => line.startsWith("Not restoring"));
  return lines.map((line) => /layer-n+-\d+/.exec(line)?.[0]);
}

describe("stdout that nobody reads", () => {
  test(
    "a pipe does not keep a run from hearing SIGTERM",
    async () => {
      using made = noisy();
      const run = start(made, fifo(made).writer);
      await listening(run);
      run.kill("SIGTERM");
      expect(await run.exited).toBe(143);
    },
    hangMs,
  );

  skipUnless(have("setpriv"), "setpriv")(
    "a pipe that only another user may open does not either",
    async () => {
      using made = noisy();
      const wrapper = process.getuid?.() === 0 ? ["setpriv", "--reuid=65534", "--clear-groups", "--"] : [];
      Bun.spawnSync(["chmod", "777", made.layers]);
      const run = start(made, fifo(made).writer, wrapper);
      await listening(run);
      run.kill("SIGTERM");
      expect(await run.exited).toBe(143);
    },
    hangMs,
  );

  test("a pipe that is read late and slowly gets every line, in order", async () => {
    using made = noisy();
    const { reader, writer } = fifo(made);
    const run = start(made, writer);
    await listening(run);
    let text = "";
    let hasEnded = false;
    void run.exited.then(() => {
      hasEnded = true;
    });
    const buffer = Buffer.alloc(1_000);
    for (;;) {
      const isLast = hasEnded;
      try {
        for (let length = 1; length > 0; ) {
          length = readSync(reader, buffer);
          text += buffer.toString("latin1", 0, length);
          await Bun.sleep(0);
        }
      } catch {
        // Nothing there just now.
      }
      if (isLast) break;
      await Bun.sleep(1);
    }
    expect(await run.exited).toBe(0);
    expect(layersTold(text)).toEqual(many.toSorted());
  });

  const withPerl = skipUnless(have("perl"), "perl");
  for (const state of ["empty", "full"]) {
    withPerl(
      `a socket that is ${state} at first does not keep a run from hearing SIGTERM`,
      async () => {
        using made = noisy();
        const files = [made.dir.join("never"), made.dir.join("copy")];
        const run = start(made, "ignore", ["perl", "-e", withSocket, state, ...files]);
        await listening(run);
        run.kill("SIGTERM");
        expect(await run.exited).toBe(143);
      },
      hangMs,
    );
  }

  withPerl(
    "a socket that is read late gets every line, in order",
    async () => {
      using made = noisy();
      const files = [made.dir.join("go"), made.dir.join("copy")] as const;
      const run = start(made, "ignore", ["perl", "-e", withSocket, "empty", ...files]);
      await listening(run);
      await Bun.sleep(100);
      writeFileSync(files[0], "");
      expect(await run.exited).toBe(0);
      while (!existsSync(files[1])) await Bun.sleep(5);
      expect(layersTold(readFileSync(files[1], "latin1"))).toEqual(many.toSorted());
    },
    hangMs,
  );
});
