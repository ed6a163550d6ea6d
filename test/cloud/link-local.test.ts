import { expect, describe as group } from "bun:test";
import { resolve } from "node:path";
import { ecr, roles } from "../support/amazon-scene.ts";
import { exchange } from "../support/azure-scene.ts";
import { have, isRoot, skipUnless } from "../support/harness.ts";
import type { Outcome } from "../support/link-local.ts";

const addresses = ["169.254.169.254", "169.254.170.2", "169.254.170.23", "[fd00:ec2::254]"];

/** Runs the script where these addresses are this machine's, and there is no other network. */
function inNamespace(hosts: readonly string[]): Outcome[] {
  const script = resolve(import.meta.dir, "../support/link-local.ts");
  const own = hosts.map(
    (host) => `ip addr add ${host.replace(/[[\]]/g, "")}/${host.startsWith("[") ? "128" : "32"} dev lo`,
  );
  const command = ["ip link set lo up", ...own, 'exec "$@"'].join(" && ");
  const argv = ["unshare", "-n", "sh", "-c", command, "sh", process.execPath, script, ...hosts];
  // Neither the runtime's own notion of a proxy.
  const env = { ...process.env, HTTP_PROXY: "http://127.0.0.1:1", http_proxy: "http://127.0.0.1:1" };
  const { stdout, stderr, exitCode } = Bun.spawnSync(argv, { stdin: "ignore", env });
  if (exitCode !== 0) throw new Error(stderr.toString());
  return stdout
    .toString()
    .trim()
    .split("\n")
    .map((line): Outcome => JSON.parse(line));
}

const mayHaveNamespaces =
  isRoot &&
  have("unshare") &&
  have("ip") &&
  Bun.spawnSync(["unshare", "-n", "sh", "-c", "ip link set lo up && ip addr add fd00:ec2::254/128 dev lo"], {
    stderr: "ignore",
  }).exitCode === 0;
const withNamespace = skipUnless(mayHaveNamespaces, "root, and network namespaces with IPv6 (unshare, ip)");

group("at the addresses that clouds document", () => {
  withNamespace("their services are asked, and no proxy for them", () => {
    const imds = (host: string) => [
      `PUT ${host}/latest/api/token`,
      `GET ${host}${roles}/`,
      `GET ${host}${roles}/node-role`,
      ecr,
    ];
    const machine = "169.254.169.254";
    const azure = `GET ${machine}/metadata/identity/oauth2/token`;
    const google = `GET ${machine}/computeMetadata/v1/instance/service-accounts/default/token`;
    const expected: Omit<Outcome, "warnings">[] = [
      { name: "EC2", source: "Amazon ECR, EC2 metadata", asked: imds(machine) },
      { name: "EC2 by IPv6", source: "Amazon ECR, EC2 metadata", asked: imds("[fd00:ec2::254]") },
      { name: "ECS", source: "Amazon ECR, container", asked: ["GET 169.254.170.2/v2/credentials/s3cret-of-ecs", ecr] },
      { name: "EKS pod identity", source: "Amazon ECR, container", asked: ["GET 169.254.170.23/v1/credentials", ecr] },
      { name: "Azure", source: "Azure ACR, managed identity", asked: [azure, azure, exchange] },
      { name: "Google", source: "Google, metadata server", asked: [`GET ${machine}/`, google] },
    ];
    expect(inNamespace(addresses)).toEqual(expected.map((one) => ({ ...one, warnings: [] })));
  });

  withNamespace("nobody is waited for where no network leads there", () => {
    for (const { source, asked, warnings } of inNamespace([])) {
      expect([source, asked]).toEqual(["none found, anonymous", []]);
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toMatch(/Tried: .*(169\.254\.1(69\.254|70\.2|70\.23)|\[fd00:ec2::254\]): [a-z ]+ \(\w+\)/);
    }
  });
});
