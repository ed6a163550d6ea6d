/** Runs in a network namespace of its own, where the addresses that clouds document are this machine's: see link-local.test.ts. */
import { resolveKeychain } from "../../lib/keychain/keychain.ts";
import * as amazon from "./amazon-scene.ts";
import * as azure from "./azure-scene.ts";
import { type Answers, startClouds } from "./clouds.ts";
import * as google from "./google-scene.ts";
import { hangMs } from "./harness.ts";
import { record } from "./keychain-fixture.ts";

export interface Outcome {
  readonly name: string;
  readonly source: string;
  readonly asked: readonly string[];
  readonly warnings: readonly string[];
}

/** The answers of a service on loopback, at other addresses. */
function at(answers: Answers, ...hosts: string[]): Answers {
  const entries = Object.entries(answers);
  return Object.fromEntries(
    hosts.flatMap((host) => entries.map(([key, answer]) => [key.replace(" local/", ` ${host}/`), answer])),
  );
}

if (import.meta.main) {
  const hosts = process.argv.slice(2);
  await using clouds = await startClouds(hosts.map((host) => host.replace(/[[\]]/g, "")));
  clouds.answer({
    ...at(amazon.machineAnswers, "169.254.169.254", "[fd00:ec2::254]"),
    ...at(azure.machineAnswers, "169.254.169.254"),
    ...at(google.machineAnswers, "169.254.169.254", "metadata.google.internal"),
    "GET 169.254.170.2/v2/credentials/s3cret-of-ecs": { json: amazon.keysJson },
    "GET 169.254.170.23/v1/credentials": { json: amazon.keysJson },
    [amazon.ecr]: amazon.tokenAnswer,
    [azure.exchange]: azure.exchangeAnswer,
  });
  const cases: readonly (readonly [name: string, registry: string, env: Record<string, string>])[] = [
    ["EC2", amazon.registry, {}],
    ["EC2 by IPv6", amazon.registry, { AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE: "IPv6" }],
    ["ECS", amazon.registry, { AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: "/v2/credentials/s3cret-of-ecs" }],
    [
      "EKS pod identity",
      amazon.registry,
      { AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://169.254.170.23/v1/credentials" },
    ],
    ["Azure", azure.registry, {}],
    ["Google", google.registry, {}],
  ];
  const ask = async ([name, registry, own]: (typeof cases)[number]): Promise<void> => {
    const log = record();
    clouds.requests.length = 0;
    const env = { HOME: "/nonexistent", ...clouds.env, ...own };
    const timing = { absentMs: hangMs, localMs: hangMs, startingMs: hangMs, answerMs: hangMs };
    const keychain = await resolveKeychain({ env, images: [{ registry, repository: "x" }], log, cloudTiming: timing });
    const warnings = log.lines.filter((line) => line.startsWith("warn") || line.includes("s3cret"));
    const outcome: Outcome = { name, source: keychain.for(registry, "x").source, asked: clouds.asked(), warnings };
    console.log(JSON.stringify(outcome));
  };
  // One after the other, for what each of them asked; where nobody is asked, all at once.
  if (hosts.length === 0) await Promise.all(cases.map(ask));
  else for (const one of cases) await ask(one);
}
