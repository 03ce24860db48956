import zipfile

import pytest

from soccermaster.data.datasets import MatchClips, SoccerFactory, SoccerNetGSR
from soccermaster.data.download import DownloadError, download, unpack


def write_archive(path, *names):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return path


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_archives_are_unpacked_with_or_without_the_name_of_the_split(tmp_path, prefix):
    archive = write_archive(tmp_path / "train.zip", f"{prefix}SNGS-060/img1/000001.jpg")
    folder = unpack(archive, tmp_path / "SoccerNetGS/train")
    assert (folder / "SNGS-060/img1/000001.jpg").is_file()


def test_archives_that_lead_out_or_are_damaged_are_refused(tmp_path):
    with pytest.raises(DownloadError, match="below the folder"):
        unpack(write_archive(tmp_path / "a.zip", "../out.txt"), tmp_path / "x/train")
    (tmp_path / "b.zip").write_bytes(b"nonsense")
    with pytest.raises(DownloadError, match="fetch it again"):
        unpack(tmp_path / "b.zip", tmp_path / "x/train")


def test_what_must_be_asked_for_is_said(tmp_path):
    for dataset, advice in ((MatchClips, "agreement"), (SoccerFactory, "archives")):
        with pytest.raises(DownloadError, match=advice):
            download(dataset.name, dataset.download, tmp_path)


class LocalArchives:
    """Answers as the SoccerNet package does, from archives that are already there."""

    def __init__(self, root, allowed=True):
        self.root, self.allowed, self.password = root, allowed, None

    def downloadDataTask(self, task, split, password="SoccerNet"):
        if not self.allowed:
            raise PermissionError("gated repository")
        for name in split[:2]:
            write_archive(self.root / task / f"{name}.zip", f"SNGS-{name}/Labels-GameState.json")


def test_the_password_of_the_user_is_passed_on_and_archives_are_unpacked(tmp_path, monkeypatch):
    monkeypatch.setenv("SOCCERNET_PASSWORD", "mine")
    package = LocalArchives(tmp_path)
    folders = download("soccernet_gsr", SoccerNetGSR.download, tmp_path, package)
    assert package.password == "mine"
    assert [folder.name for folder in folders] == ["train", "valid"]
    assert (tmp_path / "SoccerNetGS/valid/SNGS-valid/Labels-GameState.json").is_file()
    with pytest.raises(DownloadError, match=r"gated repository.*SN-GSR-2024"):
        download("soccernet_gsr", SoccerNetGSR.download, tmp_path, LocalArchives(tmp_path, False))
