/** A file as it is shown. https://replicate.com/docs/reference/http#files.get */
import * as z from "zod";
import { JsonSchema } from "../../contract/prediction.ts";
import { signLink } from "../../contract/signed-links.ts";
import type { StoredFile } from "../../registry/files.ts";
import type { AppContext } from "../app.ts";

export const MetadataViewSchema = JsonSchema.meta({ override: { type: "object" } });

export const ChecksumsSchema = z.object({
  sha256: z.string().optional().meta({ description: "SHA-256 of the content, in hex." }),
  sha256_composite: z.string().optional().meta({
    description:
      "Of a file that went up in parts: SHA-256 of the parts' SHA-256 digests (as bytes, one after the other), `-`, and the number of parts.",
  }),
});

export const FileSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    content_type: z.string(),
    size: z.number().int().meta({ description: "Bytes." }),
    etag: z.string().meta({ description: "The `ETag` that downloads carry, without its quotes." }),
    checksums: ChecksumsSchema,
    metadata: MetadataViewSchema,
    created_at: z.iso.datetime(),
    expires_at: z.iso.datetime(),
    urls: z.object({ get: z.string().meta({ description: "A signed link to the content." }) }),
  })
  .meta({ id: "File" });

export const fileLinks = {
  getFile: { operationId: "getFile", parameters: { id: "$response.body#/id" } },
  deleteFile: { operationId: "deleteFile", parameters: { id: "$response.body#/id" } },
};

/** Shows a file, with a link that works without a key until the file expires. */
export async function showFile(c: AppContext, file: StoredFile): Promise<z.output<typeof FileSchema>> {
  const query = await signLink(c.env.EDGEPLANE_SECRET, "file", file.id, file.expiresAt);
  const { origin } = new URL(c.req.url);
  const name = encodeURIComponent(file.name.toWellFormed());
  return {
    id: file.id,
    name: file.name,
    content_type: file.contentType,
    size: file.sizeBytes,
    etag: file.etag,
    checksums: file.sha256.includes("-") ? { sha256_composite: file.sha256 } : { sha256: file.sha256 },
    metadata: file.metadata,
    created_at: new Date(file.createdAt).toISOString(),
    expires_at: new Date(file.expiresAt).toISOString(),
    urls: { get: `${origin}/v1/files/${file.id}/download?name=${name}&${query}` },
  };
}
