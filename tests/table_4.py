"""The paper's Table 4: the nine versions of the GMVAE."""

FINDINGS = 14


def _version(dim_z, components, transition, normalise, encoder, decoder, findings=0):
    return {
        "dim_z": dim_z,
        "components": components,
        "transition": transition,
        "normalise": normalise,
        "encoder": encoder,
        "decoder": decoder,
        "findings": findings,
    }


TABLE_4 = {
    "fs_v1": _version(1000, 50, True, True, "vgg16", "linear", FINDINGS),
    "fs_v2": _version(1000, 50, True, False, "vgg16", "linear", FINDINGS),
    "fs_v3": _version(1000, 50, True, True, "vgg16", "1", FINDINGS),
    "v3": _version(1000, 50, False, True, "vgg16", "1"),
    "v4": _version(1000, 50, True, True, "vgg16", "1"),
    "v5": _version(1000, 50, False, True, "vgg16", "2"),
    "v6": _version(2000, 300, True, True, "densenet121", "2"),
    "v7": _version(2000, 300, False, False, "vgg16", "2"),
    "v8": _version(2000, 300, True, True, "vgg16", "2"),
}
