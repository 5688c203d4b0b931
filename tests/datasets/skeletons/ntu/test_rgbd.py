import pickle

import numpy as np
import pytest
import torch

from graphkit.datasets import NTURGBD, DamagedDataError, MissingDataError, find_card, load
from graphkit.datasets.skeletons.ntu.rgbd import SUBJECTS_60, SUBJECTS_120
from graphkit.transforms import PixelNormalize, RandomSkeletonRotation, UniformSampleFrames
from tests.datasets.skeletons.ntu_files import moving_body, skeleton_text, write_ntu
from tests.datasets.skeletons.test_annotations import annotation
from tests.datasets.test_contract import FromFiles


class TestNTURGBD(FromFiles):
    def write(self, root):
        write_ntu(root)

    def make(self, cache):
        dataset = self.load(cache, "NTU60")
        dataset.transform = UniformSampleFrames(6, random=False)
        return dataset

    def splits(self, dataset):
        return dataset.split_index("xview")


def test_clips_and_facts_from_the_raw_text(root, cache):
    write_ntu(root)
    dataset = load("NTU60")
    assert (len(dataset), dataset.num_classes, dataset.num_person) == (24, 60, 2)
    clip = dataset[dataset.names.index("S002C002P003R001A002")]
    facts = [int(clip[fact]) for fact in ("setup", "camera", "subject", "replication", "y")]
    assert facts == [2, 2, 3, 1, 1]
    assert clip.x.shape == (50, 3, 17)
    assert clip.x[:25].abs().max() > 0
    assert clip.x[25:].abs().max() == 0
    assert clip.edge_index.max() == 49


def test_splits(root, cache):
    write_ntu(root, subjects=(1, 3, 103))
    dataset = load("NTU60")
    parts = {name: dataset.splits(name) for name in ("xsub", "xview")}
    known = {name: [len(part) for part in both] for name, both in parts.items()}
    assert known == {"xsub": [12, 24], "xview": [18, 18]}
    assert {int(clip.subject) for clip in parts["xsub"][0]} == {1}
    assert {int(clip.camera) for clip in parts["xview"][0]} == {2}
    with pytest.raises(ValueError, match=r"'benchmark'.*'xset'"):
        dataset.splits("xset")


def test_the_larger_set(root, cache):
    write_ntu(root, setups=(18, 19), subjects=(8, 103), actions=(61, 120))
    dataset = load("NTU120")
    assert (len(dataset), dataset.num_classes, int(dataset.y.max())) == (16, 120, 119)
    assert {int(clip.setup) for clip in dataset.splits("xset")[0]} == {18}
    assert {int(clip.subject) for clip in dataset.splits("xsub")[0]} == {8, 103}


def test_published_numbers_of_subjects():
    assert (len(SUBJECTS_60), len(SUBJECTS_120)) == (20, 53)
    assert len(set(SUBJECTS_120)) == 53
    assert max(SUBJECTS_60) == 38
    assert max(SUBJECTS_120) == 103
    assert 51 not in SUBJECTS_120


def test_clips_without_body_or_named_as_missing_are_left_out(root, cache):
    folder = write_ntu(root)
    (folder / "S002C001P001R001A001.skeleton").write_text(skeleton_text([{}, {}]))
    (folder / "NTU_RGBD_samples_with_missing_skeletons.txt").write_text("S002C002P001R001A001\n")
    names = load("NTU60").names
    assert len(names) == 22
    assert not {"S002C001P001R001A001", "S002C002P001R001A001"} & set(names)


LISTS = {
    "endings": "S002C002P001R001A001.skeleton\nS001C001P003R001A002.skeleton\n",
    "byte order mark": "\ufeffS002C002P001R001A001\nS001C001P003R001A002\n",
    "commas": "S002C002P001R001A001,S001C001P003R001A002",
    "semicolons and blanks": "S002C002P001R001A001; S001C001P003R001A002;",
    "Windows": "S002C002P001R001A001\r\nS001C001P003R001A002\r\n",
    "a heading": "These are incomplete:\n\nS002C002P001R001A001\nS001C001P003R001A002",
    "folders": "raw/S002C002P001R001A001.skeleton\nraw\\S001C001P003R001A002.skeleton\n",
    "quotes": '"S002C002P001R001A001"\n"S001C001P003R001A002"\n',
    "lower case": "s002c002p001r001a001\ns001c001p003r001a002\n",
}


@pytest.mark.parametrize("spelling", LISTS)
def test_a_list_of_missing_clips_is_read_however_it_is_spelt(root, cache, spelling):
    folder = write_ntu(root)
    (folder / "NTU_RGBD_samples_with_missing_skeletons.txt").write_bytes(LISTS[spelling].encode())
    (folder / "._NTU_RGBD_samples_with_missing_skeletons.txt").write_bytes(b"\0\5\x16\7")
    (folder / "._S002C001P001R001A001.skeleton").write_bytes(b"\0\5\x16\7")
    names = load("NTU60").names
    assert len(names) == 22
    assert not {"S002C002P001R001A001", "S001C001P003R001A002"} & set(names)


def test_a_list_that_names_no_clip_is_refused(root, cache):
    folder = write_ntu(root)
    (folder / "NTU_RGBD_samples_with_missing_skeletons.txt").write_text("clip one\nclip two\n")
    with pytest.raises(DamagedDataError, match=r"missing_skeletons\.txt' names no clip"):
        load("NTU60")


def test_furniture_that_comes_second_is_left_out_of_the_set(root, cache):
    folder = write_ntu(root)
    person = moving_body(1, 20, np.random.default_rng(0))
    frames = [{7: joints, 8: joints * [8.0, 1.0, 1.0]} for joints in person]
    (folder / "S001C001P001R001A001.skeleton").write_text(skeleton_text(frames))
    dataset = load("NTU60")
    clip = dataset[dataset.names.index("S001C001P001R001A001")]
    assert clip.x.shape == (50, 3, 20)
    assert torch.allclose(clip.x[:25].permute(2, 0, 1), torch.from_numpy(person).float(), atol=1e-5)
    assert not clip.x[25:].any()


def test_damaged_files_are_named_with_their_line(root, cache):
    folder = write_ntu(root)
    path = folder / "S001C002P003R001A002.skeleton"
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(DamagedDataError, match=rf"{path.name}', line \d+"):
        load("NTU60")
    path.write_text(text)
    (folder / "odd.skeleton").write_text(text)
    with pytest.raises(DamagedDataError, match=r"odd\.skeleton.*not called"):
        load("NTU60")


@pytest.mark.parametrize("name", ["NTU60", "NTU120", "NTU60-3danno", "NTU120-hrnet"])
def test_missing_files_are_named(name, root, cache):
    card = find_card(name)
    with pytest.raises(MissingDataError) as error:
        load(name)
    assert card.files[0] in str(error.value)
    assert card.source in str(error.value)
    assert str(root / "NTURGBD") in str(error.value)


def test_no_clip_at_all(tmp_path):
    with pytest.raises(DamagedDataError, match="no clip"):
        NTURGBD(str(tmp_path), raw_folder=tmp_path, processed_folder=tmp_path / "p")
    with pytest.raises(ValueError, match=r"'num_classes'.*61"):
        NTURGBD(str(tmp_path), raw_folder=tmp_path, processed_folder=tmp_path, num_classes=61)


def write_pickle(root, file, clips):
    (root / "NTURGBD").mkdir(exist_ok=True)
    content = {"split": {"xsub_train": [clips[0]["frame_dir"]]}, "annotations": clips}
    (root / "NTURGBD" / file).write_bytes(pickle.dumps(content))


def test_the_pickle_gives_the_same_clips(root, cache):
    clips = [annotation(), annotation("S001C002P003R002A060", 2, label=59)]
    clips.append(annotation("S018C001P008R001A061", label=60))
    write_pickle(root, "ntu60_3danno.pkl", clips)
    dataset = load("NTU60-3danno")
    assert dataset.names == [clip["frame_dir"] for clip in clips[:2]]
    wanted = clips[1]["keypoint"].astype(np.float32).transpose(0, 2, 3, 1)
    assert np.array_equal(dataset[1].x.numpy(), wanted.reshape(50, 3, 7))
    assert torch.equal(dataset[0].x[25:], torch.zeros(25, 3, 7))
    assert [len(part) for part in dataset.splits("xsub")] == [1, 1]


def test_the_pickle_of_flat_skeletons_has_scores(root, cache):
    clip = annotation(joints=17, channels=2, keypoint_score=np.full((1, 7, 17), 0.5))
    write_pickle(root, "ntu60_hrnet.pkl", [clip])
    dataset = load("NTU60-hrnet")
    assert (dataset.layout, dataset.num_channels) == ("coco-17", 3)
    assert torch.equal(dataset[0].x[:17, 2], torch.full((17, 7), 0.5))
    write_pickle(root, "ntu60_hrnet.pkl", [annotation(joints=9)])
    with pytest.raises(DamagedDataError, match="9 joints"):
        load("NTU60-hrnet")
    write_pickle(root, "ntu60_hrnet.pkl", [annotation("clip-1", joints=17, channels=2)])
    with pytest.raises(DamagedDataError, match="'clip-1'"):
        load("NTU60-hrnet")


def test_names_of_numpy_are_saved_and_loaded(root, cache):
    write_pickle(root, "ntu60_3danno.pkl", [annotation(np.str_("S001C001P001R001A002"), label=1)])
    for _ in range(2):  # The second time from the cache.
        assert load("NTU60-3danno").names == ["S001C001P001R001A002"]


def test_classes_are_the_pickles_labels(root, cache):
    clips = [annotation("S001C001P001R001A050", label=np.int64(2))]
    clips.append(annotation("S001C001P002R001A003", label=60))
    write_pickle(root, "ntu60_3danno.pkl", clips)
    dataset = load("NTU60-3danno")
    assert dataset.y.tolist() == [2]
    assert "scored" not in dataset[0]


@pytest.mark.parametrize("kind", ["pickle", "text"])
def test_action_0_does_not_exist(root, cache, tmp_path, kind):
    name = "S001C001P001R001A000"
    if kind == "pickle":
        write_pickle(root, "ntu60_3danno.pkl", [annotation(name)])
        with pytest.raises(DamagedDataError, match=name):
            load("NTU60-3danno")
    else:
        (tmp_path / f"{name}.skeleton").write_text("0\n")
        with pytest.raises(DamagedDataError, match=rf"{name}.*not called like a clip"):
            NTURGBD(str(tmp_path), raw_folder=tmp_path, processed_folder=tmp_path / "p")


@pytest.mark.parametrize("joints", [17, 18])
def test_a_score_that_is_the_third_channel_already_is_not_turned(root, cache, joints):
    write_pickle(root, "ntu60_hrnet.pkl", [annotation(joints=joints, channels=3)])
    clip = load("NTU60-hrnet")[0]
    assert clip.scored.tolist() == [True]
    with pytest.raises(ValueError, match="score=True"):
        RandomSkeletonRotation(num_joints=joints)(clip)
    # Three coordinates of a body are no score.
    write_pickle(root, "ntu60_3danno.pkl", [annotation()])
    assert "scored" not in load("NTU60-3danno")[0]


def test_flat_clips_say_how_large_their_video_is_and_that_they_have_scores(root, cache):
    score = np.full((1, 7, 17), 0.5)
    sizes = ((480, 640), [np.int64(1080), 1920])
    clips = [
        annotation(
            f"S001C001P001R001A00{i + 1}",
            joints=17,
            channels=2,
            keypoint_score=score,
            img_shape=size,
            label=i,
        )
        for i, size in enumerate(sizes)
    ]
    write_pickle(root, "ntu60_hrnet.pkl", clips)
    dataset = load("NTU60-hrnet")
    assert dataset[0].img_shape.tolist() == [[480, 640]]
    assert dataset[1].img_shape.tolist() == [[1080, 1920]]
    assert dataset[0].scored.tolist() == [True]
    with pytest.raises(ValueError, match="score=True"):
        RandomSkeletonRotation(num_joints=17)(dataset[0])
    turned = RandomSkeletonRotation(num_joints=17, score=True)(dataset[0]).x
    assert torch.equal(turned[:, 2], dataset[0].x[:, 2])
    points = PixelNormalize()(dataset[0]).x[:17, 1]
    assert torch.allclose(points, (dataset[0].x[:17, 1] - 240) / 240)
