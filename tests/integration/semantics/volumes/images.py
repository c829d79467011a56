"""Cases of image volumes, and of images whose links a volume is mounted through."""

from tests.harness import Object
from tests.integration.semantics.cases import Case
from tests.integration.semantics.volumes.cases import CONFIG_ERROR, REFUSED, at, case, fails, waits
from tools.lab import Registry


def image(reference: str, policy: str = "") -> Object:
    """An image as a volume."""
    return {"image": {"reference": reference} | ({"pullPolicy": policy} if policy else {})}


def images(registry: Registry) -> dict[str, Case]:
    """Image volumes."""
    links = {"data": image(f"{registry.host}/links:1")}

    def refused(sentence: str, path: str) -> Case:
        return case(sentence, [at("/d", subPath=path)], then=waits(CONFIG_ERROR, REFUSED), volumes=links)

    def pulled(sentence: str, reference: str, reason: str, *told: str, policy: str = "") -> Case:
        then = waits(reason, "volume 'data'", *told)
        return case(sentence, [at("/d")], then=then, volumes={"data": image(reference, policy)})

    return {
        "image": case(
            "the files of all layers, the upper ones over the lower; read-only, and none of them can be executed",
            [at("/d")],
            '[ "$(cat /d/data/file)" = "from the image" ]',
            "[ $(cat /d/data/gone) = below ]",
            fails("touch /d/new"),
            fails("/d/data/program"),
            "sh /d/data/program",
            volumes=links,
        ),
        "image-one-layer": case(
            "also of an image with one layer",
            [at("/d")],
            "[ -e /d/bin/busybox ]",
            fails("touch /d/new"),
            fails("/d/bin/busybox true"),
            volumes={"data": image(f"{registry.host}/busybox:1")},
        ),
        "image-sub-path": case(
            "subPath mounts a part of it, by a link within it, too",
            [at("/d", subPath="data"), at("/f", subPath="within")],
            "[ -e /d/gone ]",
            '[ "$(cat /f)" = "from the image" ]',
            volumes=links,
        ),
        "image-sub-missing": refused("what is not in it cannot be made", "nowhere"),
        "image-escape": refused("its links do not lead to the node", "outside"),
        "image-escape-up": refused("nor do those that lead upwards", "up/x"),
        "image-missing": pulled(
            "an image that is nowhere is told as a container's would be",
            f"{registry.host}/nothing:1",
            "ImagePullBackOff",
        ),
        "image-never": pulled(
            "pullPolicy Never: it has to be on the node",
            f"{registry.host}/never:1",
            "ErrImageNeverPull",
            "pullPolicy is Never",
            policy="Never",
        ),
        "image-bad-name": pulled("a name that is none", "no such::name", "InvalidImageName"),
        "through-links-of-an-image": case(
            "a mountPath through links of the container's image stays among its own files",
            [at("/outside/inner"), at("/up/other")],
            "touch /outside/inner/f /up/other/g",
            "[ -f /srv/inner/f ]",
            "[ -f /srv/other/g ]",
            image=f"{registry.host}/links:1",
        ),
    }
