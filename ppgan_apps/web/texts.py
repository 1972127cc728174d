"""Every word that pages and API show, in English and Chinese, and which of the two a client reads."""
from __future__ import annotations

LANGUAGES = ("en", "zh")
NAMES = {"en": "English", "zh": "中文"}
TAGS = {"en": "en", "zh": "zh-CN"}                             # as HTML and browsers name them

_TEXTS: dict[str, tuple[str, str]] = {
    # ---- the page's frame
    "title": ("ppgan_apps: portraits and anime", "ppgan_apps：人像与动漫"),
    "heading": ("Portraits and anime", "人像与动漫"),
    "lead": ("Photos become cartoons or anime, drawings become photos, a number becomes an avatar. "
             "Nothing leaves this server; files are removed within minutes.",
             "照片变卡通或动漫，卡通变真人照片，一个数字变一个头像。图片只在本服务器上处理，几分钟后即删除。"),
    "api_link": ("HTTP API", "HTTP 接口"),
    "tab.cartoon": ("Cartoon", "人像卡通"),
    "tab.real": ("Real", "卡通转真人"),
    "tab.anime": ("Anime", "动漫风格"),
    "tab.avatars": ("Avatars", "头像生成"),
    "tab.models": ("Models", "模型与许可"),
    "tab.picture": ("Picture", "图片"),
    "tab.video": ("Video", "视频"),
    "tab.draw": ("From seeds", "由种子生成"),
    "tab.mix": ("Mix styles", "风格混合"),
    "tab.sweep": ("Latent sweep", "潜变量漫游"),
    "about.cartoon": ("A portrait photo becomes a cartoon. The face is found, turned upright and cut out.",
                      "上传人像照片，自动检测并摆正人脸，生成卡通画像。"),
    "about.real": ("A drawn face becomes a photo-like one. Best with pictures that the Cartoon tab makes.",
                   "把卡通人脸变成接近照片的效果；用“人像卡通”生成的图片效果最好。"),
    "about.anime": ("Any photo in the manner of a drawn film. Larger pictures are drawn at {side} pixels.",
                    "把任意照片变成动漫风格；较大的图片会缩小到长边 {side} 像素。"),
    "about.clip": ("Up to {frames} frames, drawn at {side} pixels at most; the sound is kept.",
                   "最多 {frames} 帧，长边不超过 {side} 像素，保留原声。"),
    "about.clip_faces": ("The faces of a video as cartoons. Up to {frames} frames, {side} pixels at most; the sound is "
                         "kept.", "把视频中的人脸变成卡通。最多 {frames} 帧，长边不超过 {side} 像素，保留原声。"),
    "about.draw": ("The same seed always gives the same avatar. Low truncation: typical ones; high: unusual ones.",
                   "相同的种子总是得到相同的头像。截断值越低越典型，越高越独特。"),
    "about.mix": ("Left: avatar A. Right: avatar B. Between them A with B's styles: coarse ones shape the head, "
                  "fine ones colour it.",
                  "左为头像 A，右为头像 B，中间是带有 B 风格的 A：粗层决定形状，细层决定颜色。"),
    "about.sweep": ("One avatar while one thing about it changes. Directions are those that the network's own weights "
                    "name (SeFa); 0 changes most.",
                    "只改变一个因素时头像的变化。“方向”由网络权重自身得出（SeFa），0 号变化最大。"),
    "about.models": ("Each weight file has a licence of its own, which also holds for pictures made with it.",
                     "每个权重文件都有自己的许可，使用它生成的图片同样适用。"),
    # ---- inputs
    "photo": ("Your photo", "您的照片"),
    "drawing": ("Your drawing", "您的卡通图"),
    "clip": ("Your video", "您的视频"),
    "faces": ("What to draw", "绘制内容"),
    "faces.largest": ("The main face", "主要人脸"),
    "faces.all": ("Every face, side by side", "所有人脸并排"),
    "faces.back": ("Every face, put back into the photo", "所有人脸并放回原图"),
    "faces.clip_largest": ("The main face", "主要人脸"),
    "faces.clip_all": ("Every face", "所有人脸"),
    "style": ("Weights", "模型权重"),
    "brightness": ("Keep the photo's brightness", "保持原图亮度"),
    "smooth": ("Smoothing against flicker", "减少闪烁"),
    "examples": ("Examples: click one", "示例：点击使用"),
    "draw": ("Draw", "开始生成"),
    "cancel": ("Cancel", "取消"),
    "download": ("Download", "下载"),
    "result": ("Before and after: move the handle", "前后对比：拖动滑块"),
    "result_clip": ("Result", "结果"),
    "result_picture": ("Result", "结果"),
    "seed": ("Seed", "种子"),
    "seed_a": ("Seed A", "种子 A"),
    "seed_b": ("Seed B", "种子 B"),
    "count": ("How many", "数量"),
    "truncation": ("Truncation", "截断"),
    "coarse": ("Coarse styles of B (shape)", "B 的粗层风格（形状）"),
    "middle": ("Middle styles of B (features)", "B 的中层风格（五官）"),
    "fine": ("Fine styles of B (colour)", "B 的细层风格（颜色）"),
    "space": ("What changes", "改变什么"),
    "space.direction": ("A direction", "一个方向"),
    "space.z": ("A number of z", "z 的一个分量"),
    "space.w": ("A number of w", "w 的一个分量"),
    "coordinate": ("Its number", "编号"),
    "random": ("Another seed", "换一个种子"),
    # ---- the line that says what happens
    "status.idle": ("Choose a file or an example, then press Draw.", "请选择文件或示例，然后点击“开始生成”。"),
    "status.idle_seed": ("Choose numbers, then press Draw.", "请设置参数，然后点击“开始生成”。"),
    "status.waiting": ("Waiting: {position} before yours.", "排队中：前面还有 {position} 个任务。"),
    "status.next": ("Waiting: yours is next.", "排队中：下一个就是您的任务。"),
    "status.running": ("Drawing…", "正在生成……"),
    "status.frames": ("Drawing: {drawn} of {total}.", "正在生成：第 {drawn} / {total} 帧。"),
    "status.frames_only": ("Drawing: {drawn} so far.", "正在生成：已完成 {drawn} 帧。"),
    "status.stopping": ("Stopping…", "正在停止……"),
    "status.done": ("Done in {seconds} s. Weights: {weights}, licence: {licence}.",
                    "完成，用时 {seconds} 秒。权重：{weights}，许可：{licence}。"),
    # ---- models
    "model.name": ("Weights", "权重"),
    "model.here": ("Here", "可用"),
    "model.size": ("Size", "大小"),
    "model.licence": ("Licence", "许可"),
    "model.source": ("Source", "来源"),
    "model.embedded": ("in the package", "内置"),
    "model.cached": ("downloaded", "已下载"),
    "model.absent": ("not here", "未下载"),
    "credit": ('Code: Apache-2.0. Avatars follow "Adventurer" by Lisa Wischofsky (CC BY 4.0). Examples: generated '
               "portraits of faker-js and photographs of cjdowner/interfaces (CC0 1.0).",
               "代码：Apache-2.0。头像风格源自 Lisa Wischofsky 的 “Adventurer”（CC BY 4.0）。"
               "示例：faker-js 的生成人像和 cjdowner/interfaces 的照片（CC0 1.0）。"),
    # ---- refusals; {limit} and the like are numbers
    "fault.too_many_bytes": ("The file is larger than {limit} MB: send a smaller one.",
                             "文件超过 {limit} MB，请换一个更小的文件。"),
    "fault.silent": ("Nothing of the file has come for {seconds} seconds: send it again.",
                     "已有 {seconds} 秒没有收到文件数据，请重新上传。"),
    "fault.too_many_pixels": ("The picture has {width}x{height} pixels, more than the {limit} million allowed: make it "
                              "smaller first.",
                              "图片为 {width}x{height} 像素，超过 {limit} 百万像素的上限，请先缩小。"),
    "fault.picture_bomb": ("The picture has far more than the {limit} million pixels allowed: make it smaller first.",
                           "图片远远超过 {limit} 百万像素的上限，请先缩小。"),
    "fault.too_many_frames": ("The video has more than the {limit} frames allowed: cut out a shorter part.",
                              "视频超过 {limit} 帧的上限，请剪短后再试。"),
    "fault.too_many_seeds": ("A sheet holds 1 to {limit} avatars: ask for as many at a time.",
                             "一次可生成 1 到 {limit} 个头像，请调整数量。"),
    "fault.too_slow": ("The work was stopped after the {limit} seconds allowed: send a smaller picture or a shorter "
                       "video.", "任务超过 {limit} 秒的上限已停止，请使用更小的图片或更短的视频。"),
    "fault.queue_full": ("Too many requests are waiting: try again in {seconds} seconds.",
                         "排队人数过多，请在 {seconds} 秒后重试。"),
    "fault.cancelled": ("The work was cancelled.", "任务已取消。"),
    "fault.no_such_job": ("There is no such job, or its result was fetched or has expired: send the request again.",
                          "没有这个任务，或其结果已被取走或过期，请重新提交。"),
    "fault.not_finished": ("The job is not finished: ask for its state first.", "任务尚未完成，请先查询状态。"),
    "fault.no_such_style": ("There are no weights '{style}' here: use {styles}.",
                            "这里没有名为“{style}”的权重，可用：{styles}。"),
    "fault.bad_choice": ("{name} has to be one of {allowed}.", "{name} 只能是 {allowed} 之一。"),
    "fault.bad_number": ("{name} has to be from {low} to {high}.", "{name} 应在 {low} 到 {high} 之间。"),
    "fault.bad_field": ("{name} cannot be used: {detail}.", "参数 {name} 有误，请对照接口文档检查。"),
    "fault.no_file": ("No file was sent: choose one first.", "没有收到文件，请先选择文件。"),
    "fault.expired": ("The file is no longer kept here: choose it again.", "文件已被清除，请重新选择。"),
    "fault.not_found": ("There is nothing at this address: see /api/docs.", "此地址不存在，请查看 /api/docs。"),
    "fault.wrong_method": ("This address does not take this method: see /api/docs.",
                           "此地址不支持该请求方法，请查看 /api/docs。"),
    "fault.no_face": ("No face was found in the picture: use a photo that shows one from the front.",
                      "图片中没有找到人脸，请使用正面人像照片。"),
    "fault.bad_picture": ("The picture cannot be used.", "这张图片无法使用（格式不支持、已损坏或太小），请换一张。"),
    "fault.bad_video": ("The video cannot be used.", "这个视频无法使用（格式不支持或已损坏），请换一个。"),
    "fault.bad_request": ("The request cannot be used.", "请求参数有误，请检查后重试。"),
    "fault.bad_weights": ("The weights cannot be used.", "模型权重无法使用，请联系管理员。"),
    "fault.missing_extra": ("A package is missing on this server.",
                            "服务器缺少所需的软件包，请管理员安装：{detail}"),
    "fault.failed": ("The server failed at this request: its log says why.", "服务器处理失败，原因见服务器日志。"),
}


def text(key: str, language: str, **values: object) -> str:
    """The text of that name, its {places} filled in from `values`."""
    return _TEXTS[key][LANGUAGES.index(language)].format(**values)


def keys() -> list[str]:
    """The names of all texts."""
    return list(_TEXTS)


def choose(asked: str | None, accepted: str | None) -> str:
    """"en" or "zh": the language asked for ("zh", "zh-CN" ...), else the one that an Accept-Language header ranks
    first (RFC 9110, section 12.5.4), else English."""
    for wish in (asked or "", *_ranked(accepted or "")):
        language = wish.strip().lower().replace("_", "-").split("-")[0]
        if language in LANGUAGES:
            return language
    return LANGUAGES[0]


def _ranked(header: str) -> list[str]:
    entries = [entry.partition(";") for entry in header.split(",")]
    return [tag for tag, _, weight in sorted(entries, key=lambda entry: -_quality(entry[2])) if _quality(weight) > 0]


def _quality(weight: str) -> float:
    name, _, number = weight.strip().partition("=")
    try:
        return float(number) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0
